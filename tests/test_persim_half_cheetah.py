"""The study where actions are continuous, on a handful of half-cheetahs."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("mujoco")

from data_prep import control as prep
from experiments.persim import methods, page, study, units
from experiments.persim.config import Config
from experiments.persim.judging import JudgeConfig
from omgrl_jax.envs.half_cheetah import HalfCheetah
from omgrl_jax.learners import online_td3
from omgrl_jax.models import low_rank
from omgrl_jax.models.ensemble import FitConfig
from omgrl_jax.models.planner import CemConfig

CONFIG = Config(
    env="half_cheetah",
    data="random",
    agents=16,
    unseen=5,  # as many as are judged: one program serves both
    unseen_steps=10,
    seeds=1,
    counts=(),
    methods=("persim", "context_aware"),
    learners=(),
    personal_learners=(),
    alone_learners=(),
    low_rank=low_rank.Config(rank=2, state_hidden=(4,), action_hidden=(3,)),
    past=methods.PastConfig(steps=2, hidden=(4,), context=2),
    fit=FitConfig(2, 2, 1e-3, 0.0, 128, 1, 1, bootstrap=False),
    least_rows=0,
    judge=JudgeConfig(predictions=2, start=2, ahead=3, episodes=1, limit=3),
    cem=CemConfig(horizon=2, candidates=4, elites=2, iterations=2),
    td3=online_td3.Config((4,), copies=2, steps=3, batch_size=4, capacity=20),
)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    def learned(task, config):
        raise AssertionError("a policy is learned for logs of random actions")

    out = tmp_path_factory.mktemp("cheetah")
    setting = prep.SETTINGS["half_cheetah"]
    with pytest.MonkeyPatch.context() as patch:
        idle = setting._replace(behaviour=learned)
        patch.setitem(prep.SETTINGS, "half_cheetah", idle)
        ready = units.prepare(CONFIG, out)
    return ready, study.run(ready)


def test_logs_follow_from_each_agents_own_physics(done):
    data = done[0].cohort.data
    arrays, actions = data.trajectories, data.schema.actions
    assert (actions.count, len(actions.low)) == (0, 6)
    assert (arrays.lengths == 1000).all() and not arrays.terminals.any()
    task = prep.SETTINGS["half_cheetah"].task()
    take = jax.jit(jax.vmap(task.step))
    for agent in (0, 3, 15):
        rows = slice(agent * 1001, agent * 1001 + 51)
        states = jnp.asarray(arrays.observations[rows])
        forces = jnp.asarray(arrays.actions[agent * 1000 : agent * 1000 + 50])
        own = (jnp.full(50, x[agent], jnp.float32) for x in prep.agents_of(
            CONFIG.recorded()))  # fmt: skip
        found = np.asarray(take(HalfCheetah(*own), states[:-1], forces))
        np.testing.assert_allclose(found, states[1:], rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(arrays.actions.mean(axis=0), 0.0, atol=0.05)
    np.testing.assert_allclose(arrays.actions.std(axis=0), 3**-0.5, atol=0.02)


def test_every_simulator_is_judged_by_prediction_and_planning(done):
    _, rows = done
    assert rows.loc[rows["section"] != "prediction", "value"].notna().all()
    for section, extra in (("prediction", set()), ("return", {"truth"})):
        part = rows[rows["section"] == section]
        wanted = {"persim", "persim_average", "context_aware", *extra}
        assert set(part["method"]) == wanted
        assert (part.groupby(["method", "measure"])["agent"].nunique() == 5).all()
    probes = set(rows[rows["section"] == "probe"]["measure"])
    assert probes == {"mass", "1/mass", "damping"}
    unseen = rows[rows["section"] == "unseen"]
    assert set(unseen["agent"]) == {11, 12, 13, 14, 15}
    ways = {"from_log", "from_covariates", "average", "context_aware"}
    assert set(unseen["method"]) == ways


def test_the_page_names_agents_and_where_episodes_end(done, undrawn):
    ready, rows = done
    made = page.make(CONFIG, rows, study.factors_of_first_seed(ready))
    assert page.agents_of(CONFIG)[0] == "mass 0.3, damping 1.7"
    assert "Episodes of planning end after 3 steps." in made.scope


def test_policies_are_learned_where_logs_are_not_of_chance():
    setting = prep.SETTINGS["half_cheetah"]
    task, pure = setting.task(), dataclasses.replace(CONFIG.recorded(), data="pure")
    behaviour = setting.behaviour(task, pure)
    # Shapes alone: what is learned is tested on smaller tasks.
    params = jax.eval_shape(behaviour.train, jax.random.key(0), HalfCheetah())
    action = jax.eval_shape(behaviour.act, params, jnp.zeros(17))
    assert action.shape == (6,)


def test_learners_of_discrete_actions_are_refused(tmp_path):
    config = dataclasses.replace(CONFIG, learners=("bcq",))
    with pytest.raises(ValueError, match=r"--learners.*bcq .*continuous"):
        units.prepare(config, tmp_path)
