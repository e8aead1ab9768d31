"""Units that plan nothing: policies learned from the agents' logs, and what they earn.

`bcq`, `cql`, `morel`, ... learn one policy for all agents from the logs of all. A
method with `_personal` behind its name learns one for each judged agent from its own
log and its PerSim simulator: by rolling that out from states of any log, or, where it
cannot, from imagined episodes that join the log. With `_alone` it has nothing but that
log. The behaviour policy is cloned from the logs of all in each case.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.config import rolls_out
from experiments.persim import imagining, learning, playing, units, worlds
from experiments.persim.config import LEARNERS
from experiments.persim.summary import ALONE, PERSONAL
from experiments.persim.units import Ready, Unit
from omgrl_jax.data import records as records_lib
from omgrl_jax.data.dataset import Trajectories
from omgrl_jax.data.records import Records
from omgrl_jax.learners import behaviour, dyna
from omgrl_jax.models import absent, world_fit
from omgrl_jax.models import world as world_lib
from omgrl_jax.models.world import World, WorldParams
from omgrl_jax.runtime import parameters
from omgrl_jax.types import Array, Dynamics, Params, Policy

# Made once for all seeds, so that it is compiled once.
_make_world = functools.cache(world_lib.make)
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
    logs = _split(ready)
    policy, mu = _behaviour(ready, unit, logs)
    if rolls_out(name, config.run(), space, policy):
        world, params = _world(ready, unit, logs)
    else:
        world, params = absent.make(), absent.params(ready.cohort.scales)
    dynamics = worlds.ruled(world.dynamics, ready.world.task)
    method = learning.make(name, config.run(), space, dynamics, policy)
    data = dyna.Data(logs[0], params, mu)
    learned = learning.train(method, unit.key("learn"), data, config.epochs)
    return Learned(method.policy, learning.for_each(learned, ready.judged.size))


def _personal(ready: Ready, unit: Unit, name: str) -> Learned:
    config, agents = ready.config.learn, ready.judged
    policy, mu = _behaviour(ready, unit)
    starts = imagining.starts(ready)
    world = imagining.personal_worlds(ready, unit, starts)
    imagined: list[list[Trajectories]] = [[]] * agents.size
    if rolls_out(name, config.run(), ready.cohort.space, policy):
        given = learning.for_each(starts, agents.size)
    else:
        given, policy = None, learning.exploring(policy, config.explore)
        episodes = imagining.episodes(ready, unit, world, policy, mu, starts)
        imagined = [[own] for own in episodes]
    records = [_own(ready, n, imagined[n]) for n in agents]
    data = dyna.Data(
        learning.stacked(records), world, learning.for_each(mu, agents.size), given
    )
    return _each(ready, unit, name, worlds.of_one(ready.world.task), policy, data)


def _alone(ready: Ready, unit: Unit, name: str) -> Learned:
    policy, mu = _behaviour(ready, unit)
    shared = (absent.params(ready.cohort.scales), mu)
    records = [_own(ready, n, []) for n in ready.judged]
    data = dyna.Data(
        learning.stacked(records), *learning.for_each(shared, len(records))
    )
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


def _behaviour(
    ready: Ready, unit: Unit, logs: tuple[Records, Records] | None = None
) -> tuple[Policy, Params]:
    """How the agents were controlled, cloned from all logs and kept for all units.

    Args:
      ready: of `units.prepare`.
      unit: whose seed it is.
      logs: of `_split`, where they are at hand.
    """
    hidden, space = ready.config.learn.behaviour_hidden, ready.cohort.space
    policy, fit = behaviour.make(hidden, space)

    def fitted() -> Params:
        given = (ready.config.fit, ready.cohort.scales, *(logs or _split(ready)))
        return fit(unit.key("behaviour"), *given)[0]

    path = units.path_of_fit(ready, f"behaviour_{unit.seed}")
    return policy, parameters.kept(path, behaviour.shapes(hidden, space), fitted)


def _world(
    ready: Ready, unit: Unit, logs: tuple[Records, Records]
) -> tuple[World, WorldParams]:
    """The model of all agents, which all methods of a seed roll out."""
    config, scales = ready.config, ready.cohort.scales
    world = _make_world(config.learn.world, ready.cohort.space)

    def fitted() -> WorldParams:
        given = (config.learn.world, config.fit, unit.key("world"), scales, *logs)
        return world_fit.fit(world, *given)[0]

    shapes = world_fit.shapes(world, config.fit.elites, scales)
    path = units.path_of_fit(ready, f"world_{unit.seed}")
    return world, parameters.kept(path, shapes, fitted)
