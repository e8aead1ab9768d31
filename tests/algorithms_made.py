"""Every algorithm on a tiny task, made, compiled and run once for all tests."""

import dataclasses
import functools

import jax
import tiny_dataset

from omgrl_jax.algorithms import (
    airl,
    combo,
    cql,
    guarded_cql,
    iq_learn,
    iql,
    ml_irl,
    mopo,
    morel,
    multitask_iql,
    ogsrl,
    omg_rl,
    q_learning,
    reward_regression,
)
from omgrl_jax.data import records
from omgrl_jax.data import scales as scales_lib
from omgrl_jax.data import space as space_lib
from omgrl_jax.learners import (
    actor,
    cloning,
    constrained,
    dyna,
    limits,
    reward,
)
from omgrl_jax.learners import soft_actor_critic as sac
from omgrl_jax.learners.guardian import guardian, regions
from omgrl_jax.models import world

AGENT = sac.AgentConfig((8,), (8,), batch_size=8, updates=2)
ROLLOUT = dyna.RolloutConfig(horizon=3, rollouts=4, kept_epochs=2)
REWARD = reward.RewardConfig(hidden=(8,), steps=2, expert_windows=8, batch=4)
LIMITS = limits.LimitsConfig(costs=("high_aptt",), most=(0.1,))
GUARDIAN = guardian.GuardianConfig(region=regions.RegionConfig(neighbours=2))
LIMITED = {"limited": True, "limits": LIMITS, "guardian": GUARDIAN}


@functools.cache
def task():
    """A world and a behaviour policy with random networks, and recorded stays."""
    schema, arrays = tiny_dataset.schema(), tiny_dataset.trajectories()
    space = space_lib.make_space(schema)
    scales = scales_lib.fit_scales(schema, space, arrays)
    recorded, others = (
        records.make_records(schema, space, scales, arrays, split, 3)
        for split in ("train", "validation")
    )
    made = world.make(world.WorldConfig((8,), (8,)), space)
    behaviour = actor.make((8,), space.state_dim, space.num_actions)

    @jax.jit
    def init(key):
        a, b, c = jax.random.split(key, 3)
        features = jax.vmap(made.init_features)(jax.random.split(a, 2))
        outcomes = jax.vmap(made.init_outcomes)(jax.random.split(b, 2))
        return features, outcomes, behaviour.init(c)

    features, outcomes, mu = init(jax.random.key(0))
    low, high = recorded.states.min(axis=0), recorded.states.max(axis=0)
    params = world.WorldParams(features, outcomes, scales, low, high)
    data = dyna.Data(recorded, params, mu, validation=others)
    return space, made, behaviour.policy, data


def make_combo(push_down="policy", held=None, **agent):
    space, made, _, data = task()
    agent = dataclasses.replace(AGENT, **agent)
    config = combo.Config(
        push_down=push_down, agent=agent, rollout=ROLLOUT, **(held or {})
    )
    return combo.make(config, space, made.dynamics), data


def make_omg_rl(algorithm=None, **settings):
    space, made, behaviour, data = task()
    reward = dataclasses.replace(REWARD, **settings)
    config = omg_rl.Config(
        agent=AGENT, rollout=ROLLOUT, reward=reward, **(algorithm or {})
    )
    return omg_rl.make(config, space, made.dynamics, behaviour), data


def make_model_free(make, config, cloned=False):
    space, _, behaviour, data = task()
    extra = [behaviour] if cloned else []
    return make(config(agent=AGENT), space, *extra), data


def make_pessimistic(make, config):
    space, made, _, data = task()
    return make(config(agent=AGENT, rollout=ROLLOUT), space, made.dynamics), data


def make_airl():
    space, made, _, data = task()
    settings = dataclasses.replace(REWARD, inputs="outcome", average=0.5)
    config = airl.Config(potential_hidden=(8,), agent=AGENT, rollout=ROLLOUT)
    config = dataclasses.replace(config, reward=settings)
    return airl.make(config, space, made.dynamics), data


def make_learned(module, **settings):
    space, made, _, data = task()
    reward = dataclasses.replace(REWARD, **settings)
    config = module.Config(agent=AGENT, rollout=ROLLOUT, reward=reward)
    return module.make(config, space, made.dynamics), data


def make_ogsrl():
    space, made, _, data = task()
    config = ogsrl.Config(
        limits=LIMITS,
        hidden=(8,),
        cloning=cloning.CloningConfig(steps=2, batch_size=8),
        guardian=GUARDIAN,
        optimiser=constrained.ConstrainedConfig(
            iterations=3, value_hidden=(8,), value_steps=2, value_batch=8
        ),
        rollout=ROLLOUT,
    )
    return ogsrl.make(config, space, made.dynamics), data


def make_guarded_cql():
    space, _, _, data = task()
    config = guarded_cql.Config(
        limits=LIMITS,
        guardian=GUARDIAN,
        agent=AGENT,
    )
    return guarded_cql.make(config, space), data


MAKERS = {
    "combo": functools.partial(make_combo, push_down="logsumexp", entropy_target=0.5),
    "combo, limited": functools.partial(make_combo, held=LIMITED),
    "omg_rl, limited": functools.partial(make_omg_rl, LIMITED),
    "omg_rl, paper": functools.partial(make_omg_rl, mode="paper"),
    "omg_rl, gcl": functools.partial(make_omg_rl, mode="gcl"),
    "omg_rl, step": functools.partial(make_omg_rl, mode="step", inputs="outcome"),
    "omg_rl, careful": functools.partial(
        make_omg_rl,
        # So patient that it learns in every epoch of the contract.
        {"reward_patience": 5, "behaviour": "removed", "penalty": 1.0},
        inputs="next_state",
        normalise=True,
    ),
    "cql": functools.partial(make_model_free, cql.make, cql.Config),
    "bcq": functools.partial(make_model_free, q_learning.make, q_learning.Config, True),
    "dueling_cql": functools.partial(
        make_model_free,
        q_learning.make,
        functools.partial(q_learning.Config, 0.0, True, 1.0),
        True,
    ),
    "iql": functools.partial(make_model_free, iql.make, iql.Config),
    "multitask_iql": functools.partial(
        make_model_free,
        multitask_iql.make,
        functools.partial(multitask_iql.Config, hidden=(8,), batch_size=8),
    ),
    "mopo": functools.partial(make_pessimistic, mopo.make, mopo.Config),
    "morel": functools.partial(
        make_pessimistic, morel.make, functools.partial(morel.Config, 0.5)
    ),
    "airl": make_airl,
    "iq_learn": functools.partial(
        make_model_free, iq_learn.make, functools.partial(iq_learn.Config, target=True)
    ),
    "reward_regression": functools.partial(make_learned, reward_regression, members=2),
    "ml_irl": functools.partial(make_learned, ml_irl, inputs="outcome", normalise=True),
    "ogsrl": make_ogsrl,
    "guarded_cql": make_guarded_cql,
}
UPDATES = 3


@functools.cache
def compiled(name):
    """The algorithm, its data, compiled functions, and how often update was traced."""
    algorithm, data = MAKERS[name]()
    traces = []

    def update(state, key, data):
        traces.append(1)
        return algorithm.update(state, key, data)

    return algorithm, data, jax.jit(algorithm.init), jax.jit(update), traces


@functools.cache
def run(name, seed, attempt=0):
    """First state, last state and all metrics; `attempt` only repeats the run."""
    del attempt
    _, data, init, update, _ = compiled(name)
    init_key, key = jax.random.split(jax.random.key(seed))
    first = state = init(init_key, data)
    history = []
    for update_key in jax.random.split(key, UPDATES):
        state, metrics = update(state, update_key, data)
        history.append(metrics)
    return first, state, history
