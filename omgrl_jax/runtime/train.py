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
from omgrl_jax.types import Algorithm

Callback = Callable[[int, Any], Mapping[str, Any] | None]


class NonFiniteMetric(RuntimeError):
    """A training metric became NaN or infinite.

    Attributes:
      metric: name of the first bad metric.
      step: the update that reported it, counted from 1.
      member: index of the seed in a sweep, None for a single run.
    """

    def __init__(self, metric: str, step: int, member: int | None, value: float):
        """Composes the message from what was found."""
        self.metric, self.step, self.member = metric, step, member
        who = "" if member is None else f" of member {member}"
        super().__init__(
            f"Metric {metric!r}{who} became {value} at update {step}; training "
            "stopped, and the last checkpoint from before it is kept."
        )


class History(NamedTuple):
    """Everything a run has reported.

    Attributes:
      metrics: training metrics by name, [U] or [N, U] for U updates.
      evaluations: what the callback returned by name, [V] or [N, V] for V visits.
      evaluation_steps: [V] updates done at each visit.
    """

    metrics: dict[str, np.ndarray]
    evaluations: dict[str, np.ndarray]
    evaluation_steps: np.ndarray


_NOTHING = History({}, {}, np.zeros(0, np.int32))


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

    Returns:
      The new state, and the metrics [U], or [N, U].
    """

    def one(member: tuple[Any, jax.Array], shared: Any) -> tuple[Any, Any]:
        start, key = member

        def body(carry: Any, index: jax.Array) -> tuple[Any, Any]:
            update_key = jax.random.fold_in(key, step + index)
            return algorithm.update(carry, update_key, shared)

        return jax.lax.scan(body, start, jnp.arange(num_updates, dtype=jnp.int32))

    if run_key.ndim == 0:
        return one((state, run_key), data)
    out = sweep.sweep(one, (state, run_key), data)
    return _place(out, sweep.member_sharding(run_key.shape[0]), inside=True)


def train(
    algorithm: Algorithm,
    key: jax.Array,
    data: Any,
    *,
    num_updates: int,
    interval: int,
    checkpoints: checkpoint.Checkpoints | None = None,
    checkpoint_every: int = 1,
    callback: Callback | None = None,
    description: str = "train",
    show: Sequence[str] = (),
    progress: bool = True,
) -> Result:
    """Trains to the end, from the newest checkpoint where there is one.

    Args:
      algorithm: what to train.
      key: the run's key [], or [N] for a sweep over N seeds; consumed.
      data: pytree of arrays handed to `init` and `update`.
      num_updates: updates in total.
      interval: updates between two visits of the host. Where it does not divide
        `num_updates`, the last interval is shorter and compiled on its own.
      checkpoints: where to save and from where to resume; None for neither.
      checkpoint_every: save at each so many intervals, and at the end.
      callback: called as `callback(step, state)` after each interval. What it returns
        (scalars by name, [N] for a sweep; always the same names) enters the history.
        It must not keep the state, whose memory is used again, and its draws must
        follow from `step` for a resumed run to repeat them.
      description: label of the progress bar.
      show: names of metrics to show in the progress bar.
      progress: False for no progress bar.

    Returns:
      The final state and the whole history.

    Raises:
      ValueError: if a count is not positive.
      NonFiniteMetric: if a training metric is NaN or infinite.
      checkpoint.CheckpointError: if the checkpoint belongs to another run.
    """
    counts = (num_updates, interval, checkpoint_every)
    if min(counts) < 1:
        raise ValueError(
            "num_updates, interval and checkpoint_every must be positive, not "
            f"{counts}."
        )
    members = key.shape[0] if key.ndim else None
    data = _place(data, sweep.data_sharding(members) if members else None)
    init_key, run_key = _split(key)
    step, state, history = _start(algorithm, init_key, run_key, data, checkpoints)
    sharding = sweep.member_sharding(members) if members else None
    state, run_key = _place(_own(state), sharding), _place(run_key, sharding)
    with tqdm.tqdm(
        total=num_updates, initial=step, desc=description, disable=not progress
    ) as bar:
        visits = 0
        while step < num_updates:
            length = min(interval, num_updates - step)
            state, metrics = run_interval(
                algorithm, state, run_key, jnp.int32(step), data, length
            )
            metrics = jax.device_get(metrics)
            _check_finite(metrics, step)
            step += length
            visits += 1
            evaluation = callback(step, state) if callback else None
            history = _extend(history, metrics, evaluation, step)
            if checkpoints and (visits % checkpoint_every == 0 or step == num_updates):
                checkpoints.save(step, (state, run_key), _nonempty(history))
            bar.set_postfix({name: f"{np.mean(metrics[name]):.3g}" for name in show})
            bar.update(length)
    return Result(state, history)


def _split(key: jax.Array) -> tuple[jax.Array, jax.Array]:
    split = jax.random.split if key.ndim == 0 else jax.vmap(jax.random.split)
    keys = split(key)
    return keys[..., 0], keys[..., 1]


def _start(
    algorithm: Algorithm,
    init_key: jax.Array,
    run_key: jax.Array,
    data: Any,
    checkpoints: checkpoint.Checkpoints | None,
) -> tuple[int, Any, History]:
    """Returns step, state and history of the newest checkpoint, or of a new run."""

    def init(key: jax.Array, shared: Any) -> Any:
        if key.ndim == 0:
            return algorithm.init(key, shared)
        return sweep.sweep(algorithm.init, key, shared)

    compiled = jax.jit(init)
    if checkpoints is not None:
        template = (compiled.eval_shape(init_key, data), run_key)
        saved = checkpoints.restore(template)
        if saved is not None:
            state, saved_key = saved.state
            _check_same_key(saved_key, run_key, checkpoints)
            return saved.step, state, _NOTHING._replace(**saved.history)
    return 0, compiled(init_key, data), _NOTHING


def _check_same_key(
    saved: jax.Array, wanted: jax.Array, checkpoints: checkpoint.Checkpoints
) -> None:
    if np.any(jax.random.key_data(saved) != jax.random.key_data(wanted)):
        raise checkpoint.CheckpointError(
            f"{checkpoints.directory} holds a run with another key (seed). Use another "
            "directory, or the seed it was begun with."
        )


def _own(state: Any) -> Any:
    """Copies every leaf, so that donation finds no array twice and no weak type.

    A target network may share its arrays with the network it copies, and a weak type
    would have the interval traced a second time.
    """
    return jax.tree.map(lambda leaf: jnp.array(leaf, dtype=leaf.dtype), state)


def _place(tree: Any, sharding: Any, inside: bool = False) -> Any:
    if sharding is None:
        return tree
    put = jax.lax.with_sharding_constraint if inside else jax.device_put
    return put(tree, sharding)


def _check_finite(metrics: Mapping[str, np.ndarray], step: int) -> None:
    """Raises for the earliest bad metric of an interval that began at `step`."""
    found = []
    for name, values in metrics.items():
        bad = np.argwhere(~np.isfinite(values))
        if bad.size:
            where = tuple(bad[np.argmin(bad[:, -1])])
            found.append((int(where[-1]), name, where))
    if found:
        index, name, where = min(found)
        member = int(where[0]) if len(where) == 2 else None
        value = float(metrics[name][where])
        raise NonFiniteMetric(name, step + index + 1, member, value)


def _extend(
    history: History,
    metrics: Mapping[str, np.ndarray],
    evaluation: Mapping[str, Any] | None,
    step: int,
) -> History:
    metrics = _append(history.metrics, metrics)
    if evaluation is None:
        return history._replace(metrics=metrics)
    visit = {
        name: np.asarray(jax.device_get(value))[..., None]
        for name, value in evaluation.items()
    }
    return History(
        metrics=metrics,
        evaluations=_append(history.evaluations, visit),
        evaluation_steps=np.append(history.evaluation_steps, np.int32(step)),
    )


def _nonempty(history: History) -> dict[str, Any]:
    # A checkpoint of the history holds no array without elements.
    return {name: part for name, part in history._asdict().items() if np.size(part)}


def _append(
    old: Mapping[str, np.ndarray], new: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    if old and set(old) != set(new):
        raise ValueError(
            "The names of the metrics must not change during a run; they differ in "
            f"{sorted(set(old) ^ set(new))}."
        )
    return {
        name: np.concatenate([old[name], values], axis=-1) if old else np.array(values)
        for name, values in new.items()
    }
