"""Updates a second of critics, actor and targets, inside the loop of OMG-RL.

What is timed is `dyna.improve` as the compiled method runs it: batches drawn from
records and buffer, the learned reward on its fixed scale, metrics. Beside it the same
update in eager PyTorch, and d3rlpy's DiscreteCQL, where they are installed.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from experiments.benchmark import ceiling, flops, problem, timing
from experiments.benchmark.config import Update
from experiments.benchmark.controls import d3rlpy_cql, torch_update
from experiments.benchmark.row import Row, bound_by_products
from experiments.config import RunConfig
from omgrl_jax.learners import dyna, restraint
from omgrl_jax.learners import reward as reward_lib
from omgrl_jax.learners import soft_actor_critic as sac

SHARE, FASTER_THAN_PYTORCH = 0.75, 1.8


class Loop(NamedTuple):
    """The updates of an epoch.

    Attributes:
      improve: `(state, key, given) -> (state, metrics)`, to be compiled.
      state: actor and critics at the start.
      given: what an epoch is given, as arguments.
    """

    improve: Callable[..., tuple[Any, Any]]
    state: Any
    given: Any


def configured(config: Update) -> RunConfig:
    """The recommended settings in the sizes of the piece."""
    widths = ",".join([str(config.hidden)] * 3)
    return problem.recommended(
        (
            f"--agent_updates={config.updates}",
            f"--agent_batch_size={config.batch}",
            f"--agent_actor_hidden={widths}",
            f"--agent_critic_hidden={widths}",
        )
    )


def make_loop(run: RunConfig, made: problem.Made) -> Loop:
    """The updates of one epoch of OMG-RL.

    Args:
      run: settings.
      made: the task.
    """
    own, space = run.omg_rl, made.space
    agent = sac.make(own.agent, space, own.conservatism, own.push_down)
    reward = reward_lib.make(own.reward, space, agent.policy, made.behaviour)
    limits = restraint.none(agent)
    seen = problem.random_steps(space, (own.rollout.horizon, 4))

    def improve(state: Any, key: jax.Array, given: Any) -> tuple[Any, Any]:
        buffer, params, data = given
        (state, _), metrics = dyna.improve(
            own.agent,
            limits.improve(data),
            (state, None),
            buffer,
            reward.for_agent(params, seen, seen),
            key,
            data.train,
        )
        return state, metrics

    agent_key, reward_key = jax.random.split(jax.random.key(0))
    params = reward.init(reward_key).params
    given = problem.filled_buffer(run, space), params, made.data
    return Loop(improve, agent.init(agent_key), given)


def running(loop: Loop) -> Callable[[], object]:
    """A callable that learns on, one epoch a call."""
    compiled = jax.jit(loop.improve, donate_argnums=(0,))
    state, epoch, key = jax.tree.map(lambda x: x.copy(), loop.state), 0, None

    def run() -> object:
        nonlocal state, epoch, key
        key, epoch = jax.random.fold_in(jax.random.key(1), epoch), epoch + 1
        state, metrics = compiled(state, key, loop.given)
        return jax.block_until_ready((state, metrics))

    return run


def measure(config: Update, repeats: int) -> list[Row]:
    """Times the updates, the ceiling, and the peers.

    Args:
      config: sizes.
      repeats: timed repeats.
    """
    run = configured(config)
    made = problem.make(run)
    loop, product = make_loop(run, made), ceiling.product()
    callables = {"ours": running(loop), "ceiling": product.run}
    missing = {}
    if config.peers:
        for name, control in (("torch", torch_update), ("d3rlpy", d3rlpy_cql)):
            made_control = control.make(run, made.space, loop.state, config.updates)
            if made_control is None:
                missing[name] = f"{name} is not installed"
            else:
                callables[name] = made_control
    times = timing.interleaved(callables, repeats)
    each = flops.update(run.omg_rl.agent, made.space, run.omg_rl.reward)
    own = Row(
        "update",
        f"updates of batch {config.batch}, sampling, metrics and r_psi included",
        "updates/s",
        **bound_by_products(
            times["ours"], times["ceiling"], config.updates, each, product.flops
        ),
        share_target=SHARE,
    )
    if not config.peers:
        return [own]
    return [own, *_peers(times, missing, config.updates)]


def _peers(
    times: dict[str, timing.Times], missing: dict[str, str], updates: int
) -> list[Row]:
    """How many times as fast as each peer."""
    told = {
        "torch": ("times the same update in eager PyTorch", FASTER_THAN_PYTORCH, ""),
        "d3rlpy": (
            "times an update of d3rlpy's DiscreteCQL",
            None,
            "which has no actor",
        ),
    }
    rows = []
    for name, (what, target, note) in told.items():
        row = Row("update", what, "x", None, target=target, note=missing.get(name, ""))
        if name in times:
            theirs = times[name].rate(updates).median
            notes = [f"theirs {theirs:.1f} updates/s", note]
            row = dataclasses.replace(
                row,
                value=times["ours"].ratio(times[name]),
                note=", ".join(filter(None, notes)),
            )
        rows.append(row)
    return rows
