"""What runs hand to algorithms, and the rivals that are settings of double DQN."""

import jax.numpy as jnp
import numpy as np
from tiny_records import SPACE, data, log_table, looked_up, trained

from experiments import config as config_lib
from experiments import training
from omgrl_jax.learners.soft_actor_critic import AgentConfig
from omgrl_jax.types import Algorithm, Policy

PROBLEM = config_lib.Problem(SPACE, None, Policy(log_table))


def test_algorithms_are_given_what_was_measured_and_validation_records():
    train, validation = data().train, data(np.full((3, 2), 2)).train
    own = training.Own("world", "behaviour", train.outcome + 1.0)
    echo = Algorithm(
        init=lambda key, data: data,
        update=lambda state, key, data: (data, {}),
        policy=None,
        policy_params=None,
    )
    joined = training.with_own_models(echo)
    for given in (
        joined.init(None, ((train, validation), own)),
        joined.update(None, None, ((train, validation), own))[0],
    ):
        np.testing.assert_array_equal(given.train.outcome, train.outcome + 1.0)
        np.testing.assert_array_equal(given.measurements, train.outcome)
        assert given.validation is validation
        assert (given.world, given.behaviour) == ("world", "behaviour")


def test_linear_q_is_least_squares_where_nothing_follows():
    """Whatever the layers of the others; rewards that no line fits."""
    rng = np.random.default_rng(0)
    states, actions = rng.normal(size=(40, 3)), rng.integers(0, 2, 40)
    rewards = states[:, 0] * states[:, 1] + 2.0 * actions + states[:, 2]
    given = data()
    train = given.train._replace(
        states=jnp.asarray(np.repeat(states, 2, axis=0), jnp.float32),
        actions=jnp.asarray(np.repeat(actions, 2), jnp.int32),
        outcome=jnp.asarray(np.repeat(rewards, 2)[:, None], jnp.float32),
        discount=jnp.zeros(80),
        transitions=jnp.arange(0, 80, 2),
    )
    agent = AgentConfig(
        critic_hidden=(8,), critic_learning_rate=0.004, batch_size=256, updates=2500
    )
    run = config_lib.RunConfig(agent=agent)
    algorithm = config_lib.ALGORITHMS["linear_q"](run, PROBLEM)
    state, _, _ = trained(algorithm, given._replace(train=train))
    found = looked_up(state.critic.params)[0].T  # bias is in every row
    inputs = np.append(states, np.ones((40, 1)), axis=1)
    for action, rows in ((0, actions == 0), (1, actions == 1)):
        wanted, residual, *_ = np.linalg.lstsq(inputs[rows], rewards[rows], rcond=None)
        np.testing.assert_allclose(found[action], wanted[:3] + wanted[3], atol=0.1)
        assert residual > 1.0


def test_dueling_cql_is_both_and_rules_nothing_out():
    run = config_lib.RunConfig(agent=AgentConfig(critic_hidden=(), updates=1))
    settings = run.dueling_cql
    assert (settings.threshold, settings.dueling) == (0.0, True)
    assert settings.conservatism > 0 and not run.bcq.conservatism
    algorithm = config_lib.ALGORITHMS["dueling_cql"](run, PROBLEM)
    state, _, metrics = trained(algorithm, data())
    assert "critic/conservative_gap" in metrics
    assert state.critic.params["params"]["Dense_0"]["kernel"].shape == (1, 3, 3)
    assert metrics["actor/allowed"] == 2.0


def test_the_newest_methods_come_last():
    """A method's place gives it its keys: those before keep theirs."""
    names = list(config_lib.ALGORITHMS)
    assert names[-4:] == ["linear_q", "multitask_iql", "ogsrl", "guarded_cql"]
    assert names[12] == "ml_irl"
