"""OGSRL on a line: who earns by leaving what is known is held by the guardian.

A patient is a number x; the reward is x after the step, dose 1 raises it by a half and
dose 0 lowers it by a half. Recorded clinicians raise it only below zero, so that they
never come above a half: to go on raising it pays, and nobody has seen it done.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omgrl_jax.algorithms import ogsrl
from omgrl_jax.data import records
from omgrl_jax.data.records import Records
from omgrl_jax.data.scales import Scales, Standardiser
from omgrl_jax.data.space import Space
from omgrl_jax.learners import cloning, dyna, limits, safety
from omgrl_jax.learners.constrained import ConstrainedConfig
from omgrl_jax.learners.guardian import guardian, regions
from omgrl_jax.models.world import WorldParams
from omgrl_jax.types import Dynamics, Step

SPACE = Space(
    *(("x", "even"), (0, 1), (0, 1), (), ("spo2", "reward"), 2, None, 1), levels=(2,)
)
HORIZON, EPOCHS = 6, 150


def after(x, action):
    return jnp.clip(x + jnp.where(action == 1, 0.5, -0.5), -3.0, 3.0)


def outcome_of(x):
    """Saturation falls with x: below 92 % above x = .75."""
    return jnp.stack([92.75 - x, x], axis=-1)


def step(params, key, states, actions):
    x = after(states[:, 0], actions)
    return Step(jnp.stack([x, states[:, 1]], axis=1), outcome_of(x))


def recorded(seed):
    """Forty stays of ten steps from anywhere between -1 and .5."""
    rng = np.random.default_rng(seed)
    states, actions, outcome = [], [], []
    for _ in range(40):
        x = rng.uniform(-1.0, 0.5)
        for _ in range(11):
            action = int(x < 0) if rng.random() < 0.8 else 0
            following = float(after(x, action))
            states.append([x, 0.0])
            actions.append(action)
            outcome.append([92.75 - following, following])
            x = following
    rows = len(states)
    moves = np.arange(rows) % 11 < 10
    return Records(
        states=jnp.asarray(states, jnp.float32),
        actions=jnp.asarray(actions, jnp.int32),
        amounts=jnp.zeros(rows),
        outcome=jnp.asarray(outcome, jnp.float32),
        measured=jnp.ones((rows, 2), bool),
        censored=jnp.zeros((rows, 2), bool),
        discount=jnp.ones(rows),
        stay=jnp.asarray(np.arange(rows) // 11, jnp.int32),
        transitions=jnp.asarray(np.flatnonzero(moves), jnp.int32),
        windows=jnp.asarray(np.flatnonzero(moves), jnp.int32),
    )


@functools.cache
def data():
    same = (Standardiser(jnp.zeros(n), jnp.ones(n), jnp.zeros(n, bool)) for n in (2, 2))
    world = WorldParams(None, None, Scales(*same, jnp.zeros(2)), None, None)
    return dyna.Data(recorded(0), world, None, validation=recorded(1))


@functools.cache
def trained(**settings):
    config = ogsrl.Config(
        hidden=(16,),
        cloning=cloning.CloningConfig(steps=0),
        limits=limits.LimitsConfig(**settings),
        guardian=guardian.GuardianConfig(
            coverage=0.98, region=regions.RegionConfig(bandwidth=0.2)
        ),
        optimiser=ConstrainedConfig(
            radius=0.03, value_hidden=(16,), value_learning_rate=1e-2
        ),
        rollout=dyna.RolloutConfig(horizon=HORIZON, rollouts=128),
    )
    algorithm = ogsrl.make(config, SPACE, Dynamics(step, None))

    @jax.jit
    def run(key, data):
        first, key = jax.random.split(key)
        start = algorithm.init(first, data)

        def one(carry, _):
            state, key = carry
            key, own = jax.random.split(key)
            state, metrics = algorithm.update(state, own, data)
            return (state, key), metrics

        (state, _), metrics = jax.lax.scan(one, (start, key), None, length=EPOCHS)
        return start, state, metrics

    start, state, metrics = run(jax.random.key(0), data())
    metrics = {k: np.asarray(x[-30:]).mean() for k, x in metrics.items()}
    return algorithm, start, state, metrics


def test_the_guardian_keeps_the_policy_among_what_is_recorded():
    free = trained(guarded=False)[-1]
    held = trained(outside=0.05)[-1]
    assert held["safety/outside"] <= 0.05 + 0.02
    assert "safety/outside" not in free
    assert free["return/r_p"] > held["return/r_p"] + 3.0
    # How far outside the free one is: the guardian with a limit that never binds.
    loose = trained(outside=1.0)[-1]
    assert loose["safety/outside"] > 3 * 0.07
    assert loose["return/r_p"] == pytest.approx(free["return/r_p"], rel=0.05)


def test_the_multiplier_answers_only_where_the_limit_binds():
    held, loose = trained(outside=0.05)[-1], trained(outside=1.0)[-1]
    assert held["safety/dual_outside"] > 0.0
    assert loose["safety/dual_outside"] == 0.0


def test_a_cost_meets_its_limit_and_costs_return():
    settings = {"costs": ("desaturation",), "most": (0.2,), "guarded": False}
    held = trained(**settings)[-1]
    # Limited is the share over the whole future: a fifth of 1 / (1 - .99) steps.
    assert abs(held["safety/excess_desaturation"]) <= 0.05 * 0.2 * 100
    # Six steps from recorded states, which are safe, see less of it.
    assert 0.1 < held["safety/desaturation"] <= 1.05 * 0.2
    free = trained(guarded=False)[-1]
    assert 0.0 < held["return/r_p"] < free["return/r_p"] - 1.0


def test_the_policy_moves_and_the_guardian_does_not():
    algorithm, start, state, _ = trained(outside=0.05)
    before, now = (
        np.exp(algorithm.log_probs(s, jnp.array([[-0.8, 0.0], [0.4, 0.0]])))
        for s in (start, state)
    )
    np.testing.assert_allclose(before.sum(axis=1), 1.0, rtol=1e-5)
    assert now[0, 1] > 0.8 > now[1, 1]  # raise where it is low, not where it is high
    assert np.abs(now - before).max() > 0.1
    same = jax.tree.map(np.array_equal, start.guardian, state.guardian)
    assert all(jax.tree.leaves(same))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"costs": ("desaturation",)}, "give one limit for each cost"),
        ({"costs": ("pain",), "most": (0.1,)}, "cost 'pain': use one of"),
        (
            {"costs": ("high_aptt",), "most": (0.1,)},
            "looks at aptt, which is neither",
        ),
    ],
)
def test_costs_that_cannot_be_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        wanted = limits.LimitsConfig(**settings)
        ogsrl.make(ogsrl.Config(limits=wanted), SPACE, Dynamics(step, None))


def test_a_guardian_needs_patients_on_whom_it_is_not_fitted():
    algorithm = ogsrl.make(ogsrl.Config(), SPACE, Dynamics(step, None))
    with pytest.raises(ValueError, match="--limits_guarded=false"):
        algorithm.init(jax.random.key(0), data()._replace(validation=None))


def test_with_a_limit_of_zero_hardly_a_step_lies_outside():
    held = trained(outside=0.0)[-1]
    assert held["safety/outside"] <= 0.02


def test_a_fall_between_both_ends_is_no_matter_of_channels():
    space = dataclasses.replace(SPACE, channels=("platelets", "reward"))
    with pytest.raises(ValueError, match="compares platelets at both ends of a step"):
        safety.make(space, ["platelet_fall"])
    space = dataclasses.replace(SPACE, names=("platelets", "even"))
    given = data()
    steps = records.transition_at(given.train, given.train.transitions[:1])
    falls = safety.make(space, ["platelet_fall", "desaturation"])
    found = falls(given.world.scales, steps)
    fell = steps.next_state[0, 0] < steps.state[0, 0]  # all lie far below 100
    np.testing.assert_array_equal(found[:, 0], [float(fell), 0.0])
