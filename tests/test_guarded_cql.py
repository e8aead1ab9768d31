"""CQL under limits on three states, against value iteration by hand."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_mdp
from tiny_records import COUNTS, GOES_ON, MU, SPACE, data, looked_up, optimum, trained

from experiments.config import RunConfig
from omgrl_jax.algorithms import cql, guarded_cql
from omgrl_jax.data.records import transition_at
from omgrl_jax.data.scales import Scales, Standardiser
from omgrl_jax.learners import cost_critics, limits, restraint
from omgrl_jax.learners import soft_actor_critic as sac
from omgrl_jax.learners.guardian import guardian, points, regions

TABULAR = sac.AgentConfig(
    actor_hidden=(),
    critic_hidden=(),
    actor_learning_rate=0.02,
    critic_learning_rate=0.02,
    discount=tiny_mdp.DISCOUNT,
    target_rate=0.05,
    entropy_coefficient=0.5,
    batch_size=128,
    updates=1500,
    max_gradient_norm=0.0,
)
FREE = limits.LimitsConfig(guarded=False)


def test_without_limits_it_is_cql():
    plain = cql.make(cql.Config(conservatism=0.3, agent=TABULAR), SPACE)
    same = guarded_cql.make(
        guarded_cql.Config(conservatism=0.3, limits=FREE, agent=TABULAR), SPACE
    )
    _, wanted, _ = trained(plain, data())
    _, found, metrics = trained(same, data())
    np.testing.assert_allclose(found, wanted, atol=0.02)
    assert not any(name.startswith("safety/") for name in metrics)


def test_what_lies_outside_loses_the_penalty_wherever_it_is_met():
    """As if an action outside paid the penalty, while critics stay the reward's."""
    marked, penalty, temperature = np.zeros((3, 2)), 1.3, 0.5
    marked[0, 1] = marked[2, 1] = 1.0
    config = guarded_cql.Config(
        conservatism=0.0, penalty=penalty, limits=FREE, agent=TABULAR
    )
    algorithm = guarded_cql.make(config, SPACE)
    given = data()
    rows = jnp.asarray(np.asarray(given.train.states) @ marked, jnp.float32)

    def init(key, data):
        state = algorithm.init(key, data)
        return state._replace(outside=guarded_cql.Outside(rows))

    state, found, metrics = trained(algorithm._replace(init=init), given)

    def soft(q):
        lowered = (q - penalty * marked) / temperature
        return temperature * np.log(np.exp(lowered).sum(axis=1))

    q, v = optimum(soft)
    policy = np.exp((q - penalty * marked - v[:, None]) / temperature)
    np.testing.assert_allclose(found, policy, atol=0.02)
    for twin in looked_up(state.agent.critic.params):
        np.testing.assert_allclose(twin, q, atol=0.05)
    assert 0.0 < metrics["safety/marked"] < 0.5


def test_costs_ahead_are_those_of_the_policy():
    """Against the solution of the linear equations of a fixed policy."""
    config = dataclasses.replace(TABULAR, critic_learning_rate=0.01)
    critics = cost_critics.make(config, SPACE, 2, (0.0, -0.5))
    table = np.array([[[0.0, 1.0], [1.0, 0.0], [0.0, 0.0]], 0.5 * np.ones((3, 2))])
    given = data().train
    batch = transition_at(given, given.transitions)
    states = np.asarray(batch.state).argmax(axis=1)
    costs = jnp.asarray(table[:, states, np.asarray(batch.action)], jnp.float32)
    log_mu = jnp.asarray(np.log(MU), jnp.float32)
    following = jnp.argmax(batch.next_state, axis=1)

    @jax.jit
    def run(key):
        def one(state, _):
            return critics.update(state, batch, costs, log_mu[following]), None

        return jax.lax.scan(one, critics.init(key), None, length=3000)[0]

    state = run(jax.random.key(0))
    moves = np.zeros((3, 3))
    for s, a in np.ndindex(3, 2):
        moves[s, tiny_mdp.NEXT[s, a]] += tiny_mdp.DISCOUNT * MU[s, a] * GOES_ON[s, a]
    wanted = np.linalg.solve(np.eye(3) - moves, (MU * table).sum(axis=2).T).T
    found = critics.expected(state, jnp.eye(3), log_mu)
    np.testing.assert_allclose(found, wanted, atol=0.02)
    weighed = critics.weighed(state, jnp.array([2.0, 0.5]), jnp.eye(3))
    q = table + tiny_mdp.DISCOUNT * GOES_ON * wanted[:, tiny_mdp.NEXT]
    np.testing.assert_allclose(weighed, 2.0 * q[0] + 0.5 * q[1], atol=0.06)


def limited(most, proportional=3.0, integral=0.3):
    """Cost: to end anywhere but in the first state. Policy and last multiplier."""
    space = dataclasses.replace(SPACE, names=("spo2", "b", "c"))
    given = data()
    scale = Standardiser(jnp.zeros(3), jnp.full(3, 100.0), jnp.zeros(3, bool))
    scales = given.world.scales
    world = given.world._replace(scales=Scales(scale, scales.channel, scales.amounts))
    config = guarded_cql.Config(
        conservatism=0.0,
        # Rewards are of order one here.
        multipliers=restraint.MultipliersConfig(proportional, integral),
        limits=limits.LimitsConfig(("desaturation",), (most,), guarded=False),
        agent=dataclasses.replace(TABULAR, updates=100),
    )
    algorithm = guarded_cql.make(config, space)

    @jax.jit
    def run(key, given):
        init_key, key = jax.random.split(key)

        def one(carry, _):
            state, key = carry
            key, own = jax.random.split(key)
            state, metrics = algorithm.update(state, own, given)
            return (state, key), metrics

        start = algorithm.init(init_key, given), key
        (state, _), metrics = jax.lax.scan(one, start, None, length=160)
        return jnp.exp(algorithm.log_probs(state, jnp.eye(3))), metrics

    policy, metrics = run(jax.random.key(1), given._replace(world=world))
    return np.asarray(policy), {k: np.asarray(x) for k, x in metrics.items()}


def test_the_multiplier_rises_where_the_limit_is_broken_and_only_there():
    loose, slack = limited(1.0)
    tight, broken = limited(0.5)
    assert (slack["safety/dual_desaturation"] == 0.0).all()
    assert broken["safety/dual_desaturation"][-1] > 0.0
    assert slack["safety/excess_desaturation"][-1] < 0.0
    # From the third state the first one is entered by action 0, which earns less.
    assert tight[2, 0] > loose[2, 0] + 0.2
    # It binds: the policy is kept at its limit, not driven far below.
    last = broken["safety/excess_desaturation"][-40:]
    assert np.abs(last).max() < 0.08 and abs(last.mean()) < 0.03


def test_the_excess_is_the_share_of_the_steps_that_there_are():
    """By linear equations of the policy that was learned, from where stays begin."""
    policy, metrics = limited(0.5, 0.0, 0.0)
    moves = np.zeros((3, 3))
    for s, a in np.ndindex(3, 2):
        goes_on = tiny_mdp.DISCOUNT * GOES_ON[s, a]
        moves[s, tiny_mdp.NEXT[s, a]] += goes_on * policy[s, a]
    unsafe = (policy * (tiny_mdp.NEXT != 0)).sum(axis=1)
    ahead = np.linalg.solve(np.eye(3) - moves, np.stack([unsafe, np.ones(3)], axis=1))
    costs, steps = COUNTS.sum(axis=1) @ ahead
    found = metrics["safety/excess_desaturation"][-20:].mean()
    np.testing.assert_allclose(found, costs / steps - 0.5, atol=0.03)


def test_the_guardian_is_asked_for_every_dose_of_every_recorded_state():
    given = data()._replace(validation=data().train)
    config = guarded_cql.Config(
        limits=limits.LimitsConfig(),
        guardian=guardian.GuardianConfig(
            "nearest", 0.9, region=regions.RegionConfig(neighbours=1)
        ),
        agent=TABULAR,
    )
    # Doses as levels, so that one dose is far from the other.
    space = dataclasses.replace(SPACE, levels=(2,))
    # Action 1 was never taken in the first state.
    first, action = given.train.states[::2, 0] == 1, given.train.actions[::2]
    kept = np.asarray(~(first & (action == 1)))
    without = given.train._replace(transitions=given.train.transitions[kept])
    given = given._replace(train=without, validation=without)
    algorithm = guarded_cql.make(config, space)
    rows = np.asarray(algorithm.init(jax.random.key(0), given).outside.rows)
    states = np.asarray(given.train.states).argmax(axis=1)
    wanted = np.zeros((3, 2))
    wanted[0, 1] = 1.0
    np.testing.assert_array_equal(rows, wanted[states])


def test_values_of_costs_are_believed_within_what_a_future_can_cost():
    critics = cost_critics.make(TABULAR, SPACE, 2, (0.0, -0.75))
    state = critics.init(jax.random.key(0))
    kernel = jnp.stack([jnp.full((3, 2), 99.0), jnp.full((3, 2), -99.0)])
    wild = {"params": {"Dense_0": {"kernel": kernel, "bias": jnp.zeros((2, 2))}}}
    state = state._replace(critic=state.critic._replace(params=wild))
    log_mu = jnp.asarray(np.log(MU), jnp.float32)
    found = critics.expected(state, jnp.eye(3), log_mu)
    # 1 / (1 - .8) steps at 1, and at -.75.
    np.testing.assert_allclose(found, np.tile([[5.0], [-3.75]], 3), rtol=1e-5)


def test_a_guardian_of_histories_is_refused():
    seen = points.PointConfig(history="summary")
    config = guarded_cql.Config(guardian=guardian.GuardianConfig(seen=seen))
    with pytest.raises(ValueError, match="guardian_seen_history=summary: guarded CQL"):
        guarded_cql.make(config, SPACE)
    # Other methods of a run may look at them.
    run = RunConfig(algorithms=("ogsrl",), guardian=config.guardian)
    assert run.ogsrl.guardian.seen.history == "summary"


def test_without_a_guardian_none_is_built():
    """Not even one that would ask a world."""
    asks = guardian.GuardianConfig("disagreement")
    held = limits.make(FREE, asks, SPACE, None, 0)
    assert held.guardian is None and held.fit(data()) is None
    config = guarded_cql.Config(limits=FREE, guardian=asks, agent=TABULAR)
    state = guarded_cql.make(config, SPACE).init(jax.random.key(0), data())
    assert state.outside is None


def test_a_guardian_that_asks_a_world_is_refused():
    config = guarded_cql.Config(guardian=guardian.GuardianConfig("disagreement"))
    with pytest.raises(ValueError, match="needs a world model"):
        guarded_cql.make(config, SPACE)
