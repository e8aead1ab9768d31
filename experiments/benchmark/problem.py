"""A made-up task of the usual size: random records, random networks, no fit.

What is timed does not depend on what networks know. The task has the paper's shape: 16
features, 6 doses, one channel with a target range.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.config import ALGORITHMS, Problem, RunConfig, preset
from omgrl_jax.data import buffer as buffer_lib
from omgrl_jax.data import dataset, records
from omgrl_jax.data import scales as scales_lib
from omgrl_jax.data import space as space_lib
from omgrl_jax.data.space import Space
from omgrl_jax.learners import behaviour as behaviour_lib
from omgrl_jax.learners import dyna
from omgrl_jax.models import world as world_lib
from omgrl_jax.runtime import flags as config_flags
from omgrl_jax.types import Algorithm, Params, Policy, Transition

FEATURES, ACTIONS = 16, 6
_DOSES = (0.0, 400.0, 800.0, 1200.0, 1600.0, 2000.0)


class Made(NamedTuple):
    """A task and all that methods are given of it.

    Attributes:
      space: the task.
      world: the world model's functions.
      behaviour: the behaviour policy.
      data: records and the parameters of both.
    """

    space: Space
    world: world_lib.World
    behaviour: Policy
    data: dyna.Data


def schema() -> dataset.Schema:
    """The task's description."""
    return dataset.Schema(
        name="made",
        features=tuple(dataset.Feature(f"x{k}", "1") for k in range(FEATURES)),
        actions=dataset.Actions(ACTIONS, "U/h", _DOSES[1:], _DOSES, ("",) * ACTIONS),
        channels=(dataset.APTT,),
        reward={"kind": "range", "channel": "aptt"},
    )


def trajectories(stays: int, hours: int, seed: int = 0) -> dataset.Trajectories:
    """Stays of one length, random throughout; one in five is for validation."""
    rng = np.random.default_rng(seed)
    rows, steps = stays * (hours + 1), stays * hours
    return dataset.Trajectories(
        observations=rng.normal(size=(rows, FEATURES)).astype(np.float32),
        actions=rng.integers(0, ACTIONS, steps).astype(np.int32),
        lengths=np.full(stays, hours, np.int32),
        patients=np.arange(stays, dtype=np.int32),
        split=np.where(np.arange(stays) % 5 == 0, 1, 0).astype(np.int32),
        terminals=np.zeros(stays, bool),
        channel_values=np.exp(rng.normal(4.3, 0.3, (rows, 1))).astype(np.float32),
        channel_measured=rng.random((rows, 1)) < 0.3,
        channel_ages=np.ones((rows, 1), np.float32),
    )


def make(
    config: RunConfig, stays: int = 100, hours: int = 48, members: int | None = None
) -> Made:
    """The task with random networks.

    Args:
      config: networks of the world and of the behaviour policy, length of windows.
      stays: number of stays.
      hours: steps of each.
      members: networks of the world; None for the elites of the configuration.
    """
    described, arrays = schema(), trajectories(stays, hours)
    space = space_lib.make_space(described)
    scales = scales_lib.fit_scales(described, space, arrays)
    train, held = (
        records.make_records(
            described, space, scales, arrays, split, config.rollout.horizon
        )
        for split in ("train", "validation")
    )
    made = world_lib.make(config.world, space)
    behaviour, _ = behaviour_lib.make(
        config.behaviour_hidden, space, config.behaviour_members
    )
    params = random_world(made, members or config.fit.elites, scales, train)
    mu = random_behaviour(config, space)
    data = dyna.Data(train, params, mu, validation=held)
    return Made(space, made, behaviour, data)


def random_world(
    world: world_lib.World,
    members: int,
    scales: scales_lib.Scales,
    train: records.Records,
    seed: int = 1,
) -> world_lib.WorldParams:
    """Parameters of a world that nobody fitted; states stay where records are.

    Args:
      world: the functions.
      members: networks of each kind.
      scales: the standardisation.
      train: training records.
      seed: of the networks.
    """

    @jax.jit
    def init(key: jax.Array) -> tuple:
        keys = jax.random.split(key, (2, members))
        features = jax.vmap(world.init_features)(keys[0])
        return features, jax.vmap(world.init_outcomes)(keys[1])

    features, outcomes = init(jax.random.key(seed))
    low, high = train.states.min(axis=0), train.states.max(axis=0)
    return world_lib.WorldParams(features, outcomes, scales, low, high)


def random_behaviour(config: RunConfig, space: Space) -> Params:
    """Parameters of a behaviour policy that nobody fitted."""
    wanted = behaviour_lib.shapes(
        config.behaviour_hidden, space, config.behaviour_members
    )
    rng = np.random.default_rng(2)

    def draw(leaf: jax.ShapeDtypeStruct) -> jax.Array:
        return jnp.asarray(0.1 * rng.normal(size=leaf.shape), leaf.dtype)

    return jax.tree.map(draw, wanted)


def omg_rl(config: RunConfig, made: Made) -> Algorithm:
    """OMG-RL for the task, built as experiments build it."""
    problem = Problem(made.space, made.world.dynamics, made.behaviour)
    return ALGORITHMS["omg_rl"](config, problem)


def recommended(flags: tuple[str, ...] = ()) -> RunConfig:
    """The configuration that is advised, with further flags put over it.

    Args:
      flags: such as `--agent_updates=5`.
    """
    return config_flags.changed(preset("recommended", RunConfig()), list(flags))


def filled_buffer(config: RunConfig, space: Space) -> buffer_lib.Buffer:
    """A buffer of rollouts that is full, of random steps."""
    empty = dyna.empty_buffer(config.rollout, space)
    return buffer_lib.add(empty, random_steps(space, (empty.rows.action.shape[0],)))


def random_steps(space: Space, shape: tuple[int, ...], seed: int = 3) -> Transition:
    """Random transitions with leading axes."""
    rng = np.random.default_rng(seed)

    def normal(*last: int) -> jax.Array:
        return jnp.asarray(rng.normal(size=(*shape, *last)), jnp.float32)

    return Transition(
        state=normal(space.state_dim),
        action=jnp.asarray(rng.integers(0, space.num_actions, shape), jnp.int32),
        next_state=normal(space.state_dim),
        outcome=normal(len(space.channels)),
        discount=jnp.ones(shape),
        uncertainty=jnp.zeros(shape),
    )
