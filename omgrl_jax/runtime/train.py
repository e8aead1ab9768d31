"""The training loop: compiled intervals, with a host visit between them.

An interval is one compiled scan over updates. Update t draws from
`fold_in(run_key, t)`, so its randomness depends on t alone: a run that is killed and
resumed, or cut into other intervals, draws the same numbers.

Given one key the loop trains one seed. Given N keys it trains N members as one sweep;
states and metrics then carry the members on their first axis.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import tqdm

from omgrl_jax.runtime import checkpoint, sweep
from omgrl_jax.runtime import history as history_lib
from omgrl_jax.runtime.history import History, NonFiniteMetric
from omgrl_jax.types import Algorithm

__all__ = ["Callback", "History", "NonFiniteMetric", "Result", "run_interval", "train"]

Callback = Callable[[int, Any], Mapping[str, Any] | None]


class Result(NamedTuple):
    """The end of a run.

    Attributes:
      state: the algorithm's final state.
      history: all metrics.
    """

    state: Any
    history: History


@functools.partial(
    jax.jit,
    static_argnames=("algorithm", "num_updates"),
    donate_argnames=("state",),
)
def run_interval(
    algorithm: Algorithm,
    state: Any,
    run_key: jax.Array,
    step: jax.Array,
    data: Any,
    num_updates: int,
    member_data: Any = None,
) -> tuple[Any, dict[str, jax.Array]]:
    """Runs updates `step .. step + num_updates - 1` as one compiled scan.

    Compiled once for each algorithm and `num_updates`. The state is donated: the
    caller's copy is gone afterwards.

    Args:
      algorithm: the bundle of pure functions, identified by the functions themselves,
        so make it once and pass the same one each time.
      state: its state, for N members with the members first.
      run_key: the run's key [], or [N] for a sweep. Only folded, never consumed.
      step: [] int32, updates done so far.
      data: pytree shared by all members.
      num_updates: length U of the interval.
      member_data: pytree of each member's own data, leaves [N, ...] (or of the single
        run), or None.

    Returns:
      The new state, and the metrics [U], or [N, U].
    """

    def one(member: tuple[Any, jax.Array, Any], shared: Any) -> tuple[Any, Any]:
        start, key, own = member
        given = _pair(shared, own)

        def body(carry: Any, index: jax.Array) -> tuple[Any, Any]:
            update_key = jax.random.fold_in(key, step + index)
            return algorithm.update(carry, update_key, given)

        return jax.lax.scan(body, start, jnp.arange(num_updates, dtype=jnp.int32))

    if run_key.ndim == 0:
        return one((state, run_key, member_data), data)
    return sweep.sweep(one, (state, run_key, member_data), data)


def train(
    algorithm: Algorithm,
    key: jax.Array,
    data: Any,
    *,
    num_updates: int,
    interval: int,
    member_data: Any = None,
    checkpoints: checkpoint.Checkpoints | None = None,
    checkpoint_every: int = 1,
    callback: Callback | None = None,
    description: str = "train",
    show: Sequence[str] = (),
    progress: bool = True,
    finite: bool = True,
) -> Result:
    """Trains to the end, from the newest checkpoint where there is one.

    Args:
      algorithm: what to train.
      key: the run's key [], or [N] for a sweep over N seeds; consumed.
      data: pytree of arrays handed to `init` and `update`.
      num_updates: updates in total.
      interval: updates between two visits of the host, which comes at its multiples
        and at the end. A shorter last interval is compiled on its own.
      member_data: pytree of data that a member does not share, leaves [N, ...] for a
        sweep; where given, the algorithm receives the pair (data, its own).
      checkpoints: where to save and from where to resume; None for neither.
      checkpoint_every: save at each so many intervals, and at the end.
      callback: called as `callback(step, state)` after each interval. What it returns
        (scalars by name, [N] for a sweep; always the same names) enters the history.
        It must not keep the state, whose memory is used again, and its draws must
        follow from `step` for a resumed run to repeat them.
      description: label of the progress bar.
      show: names of metrics to show in the progress bar, of those that there are.
      progress: False for no progress bar.
      finite: False to train on where a metric is NaN or infinite, for members that are
        judged one by one.

    Returns:
      The final state and the whole history.

    Raises:
      ValueError: if a count is not positive.
      NonFiniteMetric: if a training metric is NaN or infinite and `finite` is wanted.
      checkpoint.CheckpointError: if the checkpoint belongs to another run.
    """
    counts = (num_updates, interval, checkpoint_every)
    if min(counts) < 1:
        raise ValueError(
            "num_updates, interval and checkpoint_every must be positive, not "
            f"{counts}."
        )
    step, state, run_key, data, member_data, history = _prepare(
        algorithm, key, data, member_data, checkpoints
    )
    with tqdm.tqdm(
        total=num_updates, initial=step, desc=description, disable=not progress
    ) as bar:
        while step < num_updates:
            # A resumed run returns to the multiples of the interval.
            length = min(interval - step % interval, num_updates - step)
            state, metrics = run_interval(
                algorithm, state, run_key, jnp.int32(step), data, length, member_data
            )
            metrics = jax.device_get(metrics)
            if finite:
                history_lib.check_finite(metrics, step)
            step += length
            evaluation = callback(step, state) if callback else None
            history = history_lib.extend(history, metrics, evaluation, step)
            due = step % (interval * checkpoint_every) == 0 or step == num_updates
            if checkpoints is not None and due:
                saved = history_lib.to_saved(history)
                checkpoints.save(step, (state, run_key), saved)
            shown = {n: f"{np.mean(metrics[n]):.3g}" for n in show if n in metrics}
            bar.set_postfix(shown)
            bar.update(length)
    return Result(state, history)


def _prepare(
    algorithm: Algorithm,
    key: jax.Array,
    data: Any,
    own: Any,
    checkpoints: checkpoint.Checkpoints | None,
) -> tuple[int, Any, jax.Array, Any, Any, History]:
    """Returns step, state, run key, both data and history, each where it will live."""
    home = data_home = None
    if key.ndim:
        home = sweep.member_sharding(key.shape[0])
        data_home = sweep.data_sharding(key.shape[0])
    data, own = jax.device_put(data, data_home), jax.device_put(own, home)
    init_key, run_key = _split(key)
    step, state, history = _start(algorithm, init_key, run_key, data, own, checkpoints)
    state, run_key = jax.device_put((state, run_key), home)
    return step, state, run_key, data, own, history


def _split(key: jax.Array) -> tuple[jax.Array, jax.Array]:
    split = jax.random.split if key.ndim == 0 else jax.vmap(jax.random.split)
    keys = split(key)
    return keys[..., 0], keys[..., 1]


def _start(
    algorithm: Algorithm,
    init_key: jax.Array,
    run_key: jax.Array,
    data: Any,
    own: Any,
    checkpoints: checkpoint.Checkpoints | None,
) -> tuple[int, Any, History]:
    """Returns step, state and history of the newest checkpoint, or of a new run."""

    def init(key: jax.Array, shared: Any, own: Any) -> Any:
        def one(member: tuple[jax.Array, Any], shared: Any) -> Any:
            return algorithm.init(member[0], _pair(shared, member[1]))

        if key.ndim == 0:
            return _own(one((key, own), shared))
        return _own(sweep.sweep(one, (key, own), shared))

    compiled = jax.jit(init)
    if checkpoints is not None:
        template = (compiled.eval_shape(init_key, data, own), run_key)
        saved = checkpoints.restore(template)
        if saved is not None:
            state, saved_key = saved.state
            _check_same_key(saved_key, run_key, checkpoints)
            return saved.step, state, history_lib.from_saved(saved.history)
    return 0, compiled(init_key, data, own), history_lib.empty()


def _pair(shared: Any, own: Any) -> Any:
    return shared if own is None else (shared, own)


def _check_same_key(
    saved: jax.Array, wanted: jax.Array, checkpoints: checkpoint.Checkpoints
) -> None:
    if np.any(jax.random.key_data(saved) != jax.random.key_data(wanted)):
        raise checkpoint.CheckpointError(
            f"{checkpoints.directory} holds a run with another key (seed). Use another "
            "directory, or the seed it was begun with."
        )


def _own(state: Any) -> Any:
    """Copies every leaf, so that donation takes nothing that others hold.

    A state may hold the data itself, or a network twice. The copies also lose weak
    types, which would have the interval traced a second time.
    """
    return jax.tree.map(lambda x: jnp.array(x, dtype=jnp.asarray(x).dtype), state)
