"""Units that plan nothing: policies learned from the agents' logs, and what they earn.

`bcq`, `cql`, `morel`, ... learn one policy for all agents from the logs of all. A
method with `_personal` behind its name learns one for each judged agent from its own
log and from imagined episodes in its PerSim simulator, which it rolls out as well if
it can. With `_alone` it has nothing but that log.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from data_prep import control as control_data
from data_prep.control import Recorded
from experiments import fitting
from experiments.config import rolls_out
from experiments.persim import judging, learning, units, worlds
from experiments.persim.config import LEARNERS
from experiments.persim.summary import ALONE, PERSONAL
from experiments.persim.units import Ready, Unit
from experiments.persim.worlds import PersonalWorld
from omgrl_jax.data import records as records_lib
from omgrl_jax.data.dataset import Trajectories
from omgrl_jax.data.records import Records
from omgrl_jax.learners import dyna
from omgrl_jax.models import absent
from omgrl_jax.models import world as world_lib
from omgrl_jax.models.rollout import rollout
from omgrl_jax.runtime import parameters
from omgrl_jax.types import Array, Dynamics, Key, Params, Policy

# Made once for all seeds, so that it is compiled once.
_world = functools.cache(world_lib.make)
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
    return judging.play(
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
    method = learning.make(name, config, space, dynamics, policy)
    data = dyna.Data(train, params, mu)
    learned = learning.train(method, unit.key("learn"), data, config.epochs)
    return Learned(method.policy, _for_each(learned, ready.judged.size))


def _personal(ready: Ready, unit: Unit, name: str) -> Learned:
    config = ready.config.learn
    policy, mu = _behaviour(ready, unit)
    simulators = units.fitted(ready, unit._replace(method="persim"))
    own, _ = units.simulators(ready, "persim", simulators, ready.judged)
    world = PersonalWorld(own, _for_each(ready.cohort.scales, ready.judged.size))
    acting = learning.exploring(policy, config.explore)
    imagined = imagine(ready, unit, world, acting, mu)
    rolling = rolls_out(name, config.run(), ready.cohort.space, policy)
    policy = policy if rolling else acting  # who made what it learns from
    records = [_own(ready, n, [imagined[n]]) for n in ready.judged]
    dynamics = worlds.of_one(ready.world.task)
    return _each(ready, unit, name, dynamics, policy, world, mu, records)


def _alone(ready: Ready, unit: Unit, name: str) -> Learned:
    policy, mu = _behaviour(ready, unit)
    world = _for_each(absent.params(ready.cohort.scales), ready.judged.size)
    records = [_own(ready, n, []) for n in ready.judged]
    dynamics = absent.make().dynamics
    return _each(ready, unit, name, dynamics, policy, world, mu, records)


def _each(
    ready: Ready,
    unit: Unit,
    name: str,
    dynamics: Dynamics,
    policy: Policy,
    world: Any,
    mu: Params,
    records: list[Records],
) -> Learned:
    """Learns a policy of each judged agent from its own records and world."""
    config = ready.config.learn
    method = learning.make(name, config, ready.cohort.space, dynamics, policy)
    data = dyna.Data(learning.stacked(records), world, _for_each(mu, len(records)))
    learned = learning.train_each(method, unit.key("learn"), data, config.epochs)
    return Learned(method.policy, learned)


def imagine(
    ready: Ready, unit: Unit, world: PersonalWorld, policy: Policy, params: Params
) -> list[Trajectories]:
    """Episodes of a policy in the judged agents' own simulators.

    Args:
      ready: of `units.prepare`.
      unit: whose episodes they are.
      world: of each agent, leaves [N, ...].
      policy: who acts.
      params: its parameters.

    Returns:
      Of each agent as many episodes as configured, from any states of any logs up to
      their ends.
    """
    task, scales = ready.world.task, ready.cohort.scales
    arrays = ready.cohort.data.trajectories
    owner = np.repeat(np.arange(arrays.lengths.size), arrays.lengths + 1)
    last = np.append(owner[1:] != owner[:-1], True)  # where an episode may be over
    rows = arrays.observations[np.isin(owner, ready.seen) & ~last]
    starts = ready.scales.state.apply(jnp.asarray(rows))
    dynamics, size = worlds.of_one(task), ready.config.learn.episodes

    @jax.jit
    def one(key: Key, world: PersonalWorld, params: Params, starts: Array) -> Recorded:
        start_key, rollout_key = jax.random.split(key)
        chosen = jax.random.randint(start_key, (size,), 0, starts.shape[0])
        seen = rollout(
            dynamics, world, policy, params, rollout_key, starts[chosen], task.limit
        )
        states = jnp.concatenate([seen.state[:1], seen.next_state])
        raw = scales.state.invert(jnp.swapaxes(states, 0, 1))
        return Recorded(
            states=raw,
            actions=seen.action.T,
            rewards=scales.channel.invert(seen.outcome)[..., 0].T,
            done=jax.vmap(jax.vmap(task.done))(raw[:, 1:]),
        )

    keys = jax.random.split(unit.key("imagine"), ready.judged.size)
    found = []
    for n in range(ready.judged.size):
        own = jax.tree.map(lambda x, n=n: x[n], world)
        episodes = jax.device_get(one(keys[n], own, params, starts))
        found.append(control_data.to_trajectories(episodes))
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
    others = (number - ready.judged.size) % _EVERY == _EVERY - 1
    held_out = others & (number >= ready.judged.size)
    held_out[ready.seen[-1]] |= not held_out[ready.seen].any()
    split = np.where(held_out, 1, 0)
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
    _, policy, fit = fitting.make(config.run(), space)
    path = ready.out / "fits" / f"behaviour_{unit.seed}.npz"
    if path.is_file():
        template = learning.behaviour_template(config, space)
        return policy, parameters.load(path, template)
    one = learning.one_member(ready.config.fit)
    scales = ready.cohort.scales
    params, _ = fit(unit.key("behaviour"), one, scales, *_split(ready))
    parameters.save(path, params)
    return policy, params


def _for_each(tree: Any, count: int) -> Any:
    return jax.tree.map(lambda x: jnp.broadcast_to(x, (count, *x.shape)), tree)
