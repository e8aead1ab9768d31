"""Units that plan nothing: policies learned from the agents' logs, and what they earn.

`bcq`, `cql`, `morel`, ... learn one policy for all agents from the logs of all. A
method with `_personal` behind its name learns one for each judged agent from its own
log and its PerSim simulator: by rolling that out from states of any log, or, where it
cannot, from imagined episodes that join the log. With `_alone` it has nothing but that
log. The behaviour policy is cloned from the logs of all in each case.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from data_prep import control as control_data
from data_prep.control import Recorded
from experiments.config import rolls_out
from experiments.persim import learning, playing, units, worlds
from experiments.persim.config import LEARNERS
from experiments.persim.summary import ALONE, PERSONAL
from experiments.persim.units import Ready, Unit
from experiments.persim.worlds import PersonalWorld
from omgrl_jax.data import records as records_lib
from omgrl_jax.data.dataset import Trajectories
from omgrl_jax.data.records import Records
from omgrl_jax.envs.control import Control
from omgrl_jax.learners import behaviour, dyna
from omgrl_jax.models import absent
from omgrl_jax.models import world as world_lib
from omgrl_jax.models.rollout import rollout
from omgrl_jax.runtime import parameters
from omgrl_jax.types import Array, Dynamics, Key, Params, Policy

# Made once for all seeds, so that it is compiled once.
_world = functools.cache(world_lib.make)
_MARGIN = 0.5  # by so much of their range simulated states may leave that of the logs
_EVERY = 20  # one of so many agents is left out, to choose the best epoch by


class Learned(NamedTuple):
    """Policies of the judged agents.

    Attributes:
      policy: the functions.
      params: leaves [N, ...].
    """

    policy: Policy
    params: Params


def is_learned(method: str) -> bool:
    """Whether a unit's method is one of these."""
    return _parts(method)[0] in LEARNERS


def _parts(method: str) -> tuple[str, str]:
    """The name of a method, and what stands behind it."""
    for behind in (PERSONAL, ALONE):
        if method.endswith(behind):
            return method.removesuffix(behind), behind
    return method, ""


def returns(ready: Ready, unit: Unit) -> Array:
    """Learns a unit's policies and plays them: [N, episodes] returns."""
    name, behind = _parts(unit.method)
    learn = {"": _of_all, PERSONAL: _personal, ALONE: _alone}[behind]
    learned = learn(ready, unit, name)
    return playing.play(
        ready.world,
        learned.policy,
        ready.config.judge,
        unit.key("control"),
        ready.physics(ready.judged),
        learned.params,
        ready.scales,
    )


def _of_all(ready: Ready, unit: Unit, name: str) -> Learned:
    config, space = ready.config.learn, ready.cohort.space
    train, held_out = _split(ready)
    policy, mu = _behaviour(ready, unit)
    rolling = rolls_out(name, config.run(), space, policy)
    world = _world(config.world, space) if rolling else absent.make()
    params = absent.params(ready.cohort.scales)
    if rolling:
        params, _ = world_lib.fit(
            world,
            config.world,
            ready.config.fit,
            unit.key("world"),
            ready.cohort.scales,
            train,
            held_out,
        )
    dynamics = worlds.ruled(world.dynamics, ready.world.task)
    method = learning.make(name, config.run(), space, dynamics, policy)
    data = dyna.Data(train, params, mu)
    learned = learning.train(method, unit.key("learn"), data, config.epochs)
    return Learned(method.policy, _for_each(learned, ready.judged.size))


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _episodes(
    task: Control,
    policy: Policy,
    count: int,
    key: Key,
    world: PersonalWorld,
    params: Params,
    starts: Array,
) -> Recorded:
    """Episodes of a policy in one agent's simulator, raw."""
    start_key, rollout_key = jax.random.split(key)
    chosen = jax.random.randint(start_key, (count,), 0, starts.shape[0])
    dynamics = worlds.of_one(task)
    seen = rollout(
        dynamics, world, policy, params, rollout_key, starts[chosen], task.limit
    )
    states = jnp.concatenate([seen.state[:1], seen.next_state])
    raw = world.scales.state.invert(jnp.swapaxes(states, 0, 1))
    return Recorded(
        states=raw,
        actions=seen.action.T,
        rewards=world.scales.channel.invert(seen.outcome)[..., 0].T,
        done=jax.vmap(jax.vmap(task.done))(raw[:, 1:]),
    )


def _personal(ready: Ready, unit: Unit, name: str) -> Learned:
    config, agents = ready.config.learn, ready.judged
    policy, mu = _behaviour(ready, unit)
    world, starts = _worlds(ready, unit), _starts(ready)
    imagined: list[list[Trajectories]] = [[]] * agents.size
    if rolls_out(name, config.run(), ready.cohort.space, policy):
        given = _for_each(starts, agents.size)
    else:
        given, policy = None, learning.exploring(policy, config.explore)
        imagined = [[x] for x in imagine(ready, unit, world, policy, mu, starts)]
    records = [_own(ready, n, imagined[n]) for n in agents]
    data = dyna.Data(
        learning.stacked(records), world, _for_each(mu, agents.size), given
    )
    return _each(ready, unit, name, worlds.of_one(ready.world.task), policy, data)


def _worlds(ready: Ready, unit: Unit) -> PersonalWorld:
    """The worlds of the judged agents, leaves [N, ...]."""
    simulators = units.fitted(ready, unit._replace(method="persim"))
    own, _ = units.simulators(ready, "persim", simulators, ready.judged)
    states = _starts(ready)
    low, high = jnp.min(states, axis=0), jnp.max(states, axis=0)
    margin = _MARGIN * (high - low)
    shared = (ready.cohort.scales, low - margin, high + margin)
    return PersonalWorld(own, *_for_each(shared, ready.judged.size))


def _starts(ready: Ready) -> Array:
    """Standardised states [K, S] of all logs that may be learned from, but the last."""
    arrays = ready.cohort.data.trajectories
    owner = np.repeat(np.arange(arrays.lengths.size), arrays.lengths + 1)
    last = np.append(owner[1:] != owner[:-1], True)  # where an episode may be over
    rows = arrays.observations[np.isin(owner, ready.seen) & ~last]
    return ready.scales.state.apply(jnp.asarray(rows))


def _alone(ready: Ready, unit: Unit, name: str) -> Learned:
    policy, mu = _behaviour(ready, unit)
    shared = (absent.params(ready.cohort.scales), mu)
    records = [_own(ready, n, []) for n in ready.judged]
    data = dyna.Data(learning.stacked(records), *_for_each(shared, len(records)))
    return _each(ready, unit, name, absent.make().dynamics, policy, data)


def _each(
    ready: Ready,
    unit: Unit,
    name: str,
    dynamics: Dynamics,
    policy: Policy,
    data: dyna.Data,
) -> Learned:
    """Learns a policy of each judged agent from its own data, leaves [N, ...]."""
    config = ready.config.learn
    method = learning.make(
        name, config.run(personal=True), ready.cohort.space, dynamics, policy
    )
    learned = learning.train_each(method, unit.key("learn"), data, config.epochs)
    return Learned(method.policy, learned)


def imagine(
    ready: Ready,
    unit: Unit,
    world: PersonalWorld,
    policy: Policy,
    params: Params,
    starts: Array,
) -> list[Trajectories]:
    """Episodes of a policy in the judged agents' own simulators.

    Args:
      ready: of `units.prepare`.
      unit: whose episodes they are.
      world: of each agent, leaves [N, ...].
      policy: who acts.
      params: its parameters.
      starts: [K, S] standardised states where they may start.

    Returns:
      Of each agent as many episodes as configured, up to their ends.
    """
    keys = jax.random.split(unit.key("imagine"), ready.judged.size)
    found = []
    for n in range(ready.judged.size):
        own = jax.tree.map(lambda x, n=n: x[n], world)
        episodes = _episodes(
            ready.world.task,
            policy,
            ready.config.learn.episodes,
            keys[n],
            own,
            params,
            starts,
        )
        found.append(control_data.to_trajectories(jax.device_get(episodes)))
    return found


def _own(ready: Ready, agent: int, imagined: list[Trajectories]) -> Records:
    """An agent's log, and imagined episodes behind it, which are no expert's."""
    cohort, horizon = ready.cohort, ready.config.learn.rollout.horizon
    arrays = cohort.data.trajectories
    alone = arrays._replace(
        split=np.where(np.arange(arrays.lengths.size) == agent, 0, 1)
    )
    make = (cohort.data.schema, cohort.space, cohort.scales)
    log = records_lib.make_records(*make, alone, "train", horizon)
    if not imagined:
        return log
    more = records_lib.make_records(*make, imagined[0], "train", horizon)
    behind = log.states.shape[0]
    joined = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), log, more)
    return joined._replace(
        stay=jnp.concatenate([log.stay, more.stay + 1]),
        transitions=jnp.concatenate([log.transitions, more.transitions + behind]),
        windows=log.windows,
    )


def _split(ready: Ready) -> tuple[Records, Records]:
    """Logs of those who may be learned from, and of a few held out to stop by."""
    cohort, horizon = ready.cohort, ready.config.learn.rollout.horizon
    arrays = cohort.data.trajectories
    number = np.arange(arrays.lengths.size)
    left_out = (number - ready.judged.size) % _EVERY == _EVERY - 1
    left_out &= number >= ready.judged.size
    left_out[ready.seen[-1]] |= not left_out[ready.seen].any()
    split = np.where(left_out, 1, 0)
    split[ready.unseen] = -1
    arrays = arrays._replace(split=split)
    make = (cohort.data.schema, cohort.space, cohort.scales, arrays)
    train, held_out = (
        records_lib.make_records(*make, name, horizon)
        for name in ("train", "validation")
    )
    return train, held_out


def _behaviour(ready: Ready, unit: Unit) -> tuple[Policy, Params]:
    """How the agents were controlled, cloned from all logs and kept for all units."""
    config, space = ready.config.learn, ready.cohort.space
    policy, fit = behaviour.make(config.behaviour_hidden, space)
    path = ready.out / "fits" / f"behaviour_{unit.seed}.npz"
    if path.is_file():
        template = behaviour.shapes(config.behaviour_hidden, space)
        return policy, parameters.load(path, template)
    scales = ready.cohort.scales
    params, _ = fit(unit.key("behaviour"), ready.config.fit, scales, *_split(ready))
    parameters.save(path, params)
    return policy, params


def _for_each(tree: Any, count: int) -> Any:
    return jax.tree.map(lambda x: jnp.broadcast_to(x, (count, *x.shape)), tree)
