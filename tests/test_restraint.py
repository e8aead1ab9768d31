"""Soft actor-critics under limits on three states, against value iteration by hand."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_mdp
from tiny_records import GOES_ON, SPACE, data, optimum

from omgrl_jax.algorithms import combo
from omgrl_jax.data.records import transition_at
from omgrl_jax.data.scales import Scales, Standardiser
from omgrl_jax.learners import dyna, limits, restraint
from omgrl_jax.learners import soft_actor_critic as sac
from omgrl_jax.learners.guardian import guardian, points, regions
from omgrl_jax.types import Dynamics, Step

TEMPERATURE = 1.0
AGENT = sac.AgentConfig(
    actor_hidden=(),
    critic_hidden=(),
    actor_learning_rate=0.02,
    critic_learning_rate=0.02,
    discount=tiny_mdp.DISCOUNT,
    target_rate=0.05,
    entropy_coefficient=TEMPERATURE,
    batch_size=64,
    updates=60,
    max_gradient_norm=0.0,
)
# The first state is safe: its saturation is 100 %, that of the others is 0 %.
NAMED = dataclasses.replace(SPACE, names=("spo2", "b", "c"), levels=(2,))
UNSAFE = (tiny_mdp.NEXT != 0).astype(float)


def given():
    """Records whose first feature is a saturation, in a world without parameters."""
    found = data()
    scale = Standardiser(jnp.zeros(3), jnp.full(3, 100.0), jnp.zeros(3, bool))
    scales = found.world.scales
    world = found.world._replace(scales=Scales(scale, scales.channel, scales.amounts))
    return found._replace(world=world, validation=found.train)


def moved(world, key, states, actions):
    """The process itself; after an end it goes on, and nobody asks how."""
    rows = jnp.argmax(states, axis=1), actions
    return Step(
        jnp.eye(3)[jnp.asarray(tiny_mdp.NEXT)[rows]],
        jnp.asarray(tiny_mdp.REWARD, jnp.float32)[rows][:, None]
        + 0.0 * jax.random.normal(key, (states.shape[0], 1)),
        jnp.asarray(GOES_ON, jnp.float32)[rows],
    )


def config(most=0.5, guarded=False, gains=(3.0, 0.3, 0.0), **agent):
    return combo.Config(
        conservatism=0.0,
        agent=dataclasses.replace(AGENT, **agent),
        rollout=dyna.RolloutConfig(horizon=20, rollouts=64, kept_epochs=2),
        limited=True,
        limits=limits.LimitsConfig(("desaturation",), (most,), guarded=guarded),
        guardian=guardian.GuardianConfig(
            "nearest", 0.9, region=regions.RegionConfig(neighbours=1)
        ),
        multipliers=restraint.MultipliersConfig(*gains),
    )


def make(asked):
    return combo.make(asked, NAMED, Dynamics(moved, moved))


def run(algorithm, found, epochs, seed=0):
    """Policy [S, A], and all metrics by epoch."""

    @jax.jit
    def whole(key, found):
        init_key, key = jax.random.split(key)

        def one(carry, _):
            state, key = carry
            key, own = jax.random.split(key)
            state, metrics = algorithm.update(state, own, found)
            return (state, key), metrics

        start = algorithm.init(init_key, found), key
        (state, _), metrics = jax.lax.scan(one, start, None, length=epochs)
        return jnp.exp(algorithm.log_probs(state, jnp.eye(3))), metrics

    policy, metrics = whole(jax.random.key(seed), found)
    return np.asarray(policy), {k: np.asarray(x) for k, x in metrics.items()}


def test_under_a_multiplier_the_policy_is_that_of_the_reward_less_the_cost():
    """Soft optimal for r - m (c - limit), though no critic of r ever sees c."""
    weight, most = 1.5, 0.3
    asked, found = config(most), given()
    agent = sac.make(asked.agent, NAMED)
    held = restraint.make(asked, agent, NAMED, Dynamics(moved, moved))
    batch = transition_at(found.train, found.train.transitions)
    nothing = jax.tree.map(lambda x: x[:0], batch)

    @jax.jit
    def trained(key):
        a, b = jax.random.split(key)
        state = held.init(b, found)
        dual = state.dual._replace(value=jnp.array([weight]))
        step = held.improve(found)

        def one(both, _):
            reward = lambda steps: steps.outcome[:, 0]  # noqa: E731
            return step(both, reward, batch, nothing)[0], None

        start = agent.init(a), state._replace(dual=dual)
        (state, _), _ = jax.lax.scan(one, start, None, length=12000)
        return jnp.exp(agent.policy.log_probs(state.actor.params, jnp.eye(3)))

    # The reward less the cost, as one reward.
    q = np.zeros((3, 2))
    for _ in range(300):
        v = TEMPERATURE * np.log(np.exp(q / TEMPERATURE).sum(axis=1))
        ahead = tiny_mdp.DISCOUNT * GOES_ON * v[tiny_mdp.NEXT]
        q = tiny_mdp.REWARD - weight * (UNSAFE - most) + ahead
    wanted = np.exp(q / TEMPERATURE)
    wanted /= wanted.sum(axis=1, keepdims=True)
    policy = np.asarray(trained(jax.random.key(0)))
    np.testing.assert_allclose(policy, wanted, atol=0.02)
    free, _ = optimum(
        lambda q: TEMPERATURE * np.log(np.exp(q / TEMPERATURE).sum(axis=1))
    )
    free = np.exp(free / TEMPERATURE)
    assert np.abs(policy - free / free.sum(axis=1, keepdims=True)).max() > 0.1


def test_a_limit_that_binds_is_met_and_a_slack_one_changes_nothing():
    free = dataclasses.replace(config(), limited=False)
    usual, plain = run(make(free), given(), 150)
    assert not any(name.startswith("safety/") for name in plain)
    loose, slack = run(make(config(1.0)), given(), 150)
    assert (slack["safety/dual_desaturation"] == 0.0).all()
    np.testing.assert_allclose(loose, usual, atol=1e-5)
    unbound = slack["safety/desaturation"][-40:].mean()
    most = 0.8 * unbound
    _, bound = run(make(config(most)), given(), 150)
    last = bound["safety/desaturation"][-40:]
    assert abs(last.mean() - most) < 0.05 * most
    assert (bound["safety/dual_desaturation"][-40:] > 0.0).all()


def test_a_guardian_keeps_the_policy_from_what_was_never_recorded():
    found = given()
    # Action 1 was never taken in the third state, where it is the better one.
    third, action = found.train.states[::2, 2] == 1, found.train.actions[::2]
    kept = np.asarray(~(third & (action == 1)))
    train = found.train._replace(transitions=found.train.transitions[kept])
    found = found._replace(train=train, validation=train)
    shares = {}
    for guarded in (False, True):
        asked = config(1.0, guarded)
        if guarded:
            limit = dataclasses.replace(asked.limits, outside=0.1)
            asked = dataclasses.replace(asked, limits=limit)
        policy, metrics = run(make(asked), found, 300)
        shares[guarded] = policy[2, 1]
        assert ("safety/outside" in metrics) == guarded
    assert abs(metrics["safety/outside"][-80:].mean() - 0.1) < 0.005
    assert shares[True] < 0.5 * shares[False]


def test_shares_are_of_steps_that_happened():
    """After the end of a rollout nothing counts."""
    found, asked = given(), config()
    agent = sac.make(asked.agent, NAMED)
    held = restraint.make(asked, agent, NAMED, Dynamics(moved, moved))
    steps = transition_at(found.train, found.train.transitions[:4])
    rollouts = jax.tree.map(lambda x: x.reshape(2, 2, *x.shape[1:]), steps)
    saturation = jnp.array([[1.0, 0.2], [0.3, 1.0]])
    after = rollouts.next_state.at[..., 0].set(saturation)
    ends = jnp.array([[0.0, 1.0], [1.0, 1.0]])
    rollouts = rollouts._replace(next_state=after, discount=ends)
    state = held.init(jax.random.key(0), found)
    state, metrics = held.follow(state, found, rollouts)
    # Of three steps that happened one is unsafe.
    np.testing.assert_allclose(metrics["safety/desaturation"], 1 / 3, rtol=1e-6)
    # Below the limit of a half: nothing is summed.
    assert float(metrics["safety/dual_desaturation"]) == 0.0
    tight = restraint.make(config(0.1), agent, NAMED, Dynamics(moved, moved))
    _, metrics = tight.follow(state, found, rollouts)
    wanted = (3.0 + 0.3) * (1 / 3 - 0.1)
    np.testing.assert_allclose(metrics["safety/dual_desaturation"], wanted, rtol=1e-5)


def test_what_cannot_be_limited_is_refused():
    nothing = dataclasses.replace(
        config(), limits=limits.LimitsConfig((), (), guarded=False)
    )
    with pytest.raises(ValueError, match="--combo_limited: nothing is limited; give"):
        make(nothing)
    seen = points.PointConfig(history="summary")
    histories = dataclasses.replace(
        config(guarded=True), guardian=guardian.GuardianConfig(seen=seen)
    )
    with pytest.raises(
        ValueError, match="--guardian_seen_history=summary: guarded CQL"
    ):
        make(histories)
    wrong = limits.LimitsConfig(("oliguria",), (0.1,), guarded=False)
    with pytest.raises(ValueError, match="'oliguria' looks at urine"):
        make(dataclasses.replace(config(), limits=wrong))


def test_without_being_asked_for_limits_are_not_looked_at():
    asked = dataclasses.replace(
        config(), limited=False, limits=limits.LimitsConfig(("oliguria",), (0.1,))
    )
    state = make(asked).init(jax.random.key(0), given())
    assert state.restraint is None
