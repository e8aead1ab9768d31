"""Behavioural cloning against the frequencies it must learn."""

import jax
import jax.numpy as jnp
import numpy as np

from omgrl_jax.data import dataset, records
from omgrl_jax.data import scales as scales_lib
from omgrl_jax.data import space as space_lib
from omgrl_jax.learners import behaviour
from omgrl_jax.models import ensemble

# Probability of action 1 in the two states of the made-up clinicians.
CHANCE = np.array([0.2, 0.9])


def make_records():
    """Two hundred stays of five steps; the state is drawn anew each step."""
    rng = np.random.default_rng(0)
    stays, length = 200, 5
    x = rng.integers(0, 2, (stays, length + 1))
    actions = rng.random((stays, length)) < CHANCE[x[:, :-1]]
    schema = dataset.Schema("coin", (dataset.Feature("x"),), dataset.Actions(2))
    arrays = dataset.Trajectories(
        observations=x.reshape(-1, 1).astype(float),
        actions=actions.reshape(-1).astype(int),
        lengths=np.full(stays, length),
        patients=np.arange(stays),
        split=np.arange(stays) % 4 // 3,
        terminals=np.zeros(stays, bool),
    )
    space = space_lib.make_space(schema)
    scales = scales_lib.fit_scales(schema, space, arrays)
    splits = [
        records.make_records(schema, space, scales, arrays, name, 1)
        for name in ("train", "validation")
    ]
    return space, scales, splits, x[:, :-1], actions


def test_the_fit_gives_the_recorded_frequencies():
    space, scales, (train, validation), x, actions = make_records()
    policy, fit = behaviour.make((), space)
    config = ensemble.FitConfig(
        members=3, elites=2, learning_rate=0.05, weight_decay=0.0, max_epochs=25
    )
    params, result = fit(jax.random.key(0), config, scales, train, validation)
    # One network, whatever the configuration says, of the shapes that files have.
    assert result.validation_loss.shape[1] == 1
    found = jax.tree.map(jnp.shape, params)
    assert found == jax.tree.map(jnp.shape, behaviour.shapes((), space))
    raw = scales.state.apply(jnp.array([[0.0], [1.0]]))
    chance = np.exp(policy.log_probs(params, raw))[:, 1]
    kept = np.arange(200) % 4 < 3
    counted = [actions[kept][x[kept] == value].mean() for value in (0, 1)]
    np.testing.assert_allclose(chance, counted, atol=0.05)
    # The held-out loss is about the entropy of the coins.
    entropy = -np.mean(CHANCE * np.log(CHANCE) + (1 - CHANCE) * np.log(1 - CHANCE))
    np.testing.assert_allclose(result.validation_loss.min(), entropy, atol=0.05)


def test_a_mixture_is_the_mean_of_its_members():
    space, scales, (train, validation), _, _ = make_records()
    config = ensemble.FitConfig(members=3, elites=2, learning_rate=0.05, max_epochs=4)
    policy, fit = behaviour.make((3,), space, 3)
    params, _ = fit(jax.random.key(0), config, scales, train, validation)
    found = jax.tree.map(jnp.shape, params)
    assert found == jax.tree.map(jnp.shape, behaviour.shapes((3,), space, 3))
    single, _ = behaviour.make((3,), space)
    states = train.states[:5]
    members = [jax.tree.map(lambda x, e=e: x[e], params) for e in range(3)]
    each = [np.exp(single.log_probs(one, states)) for one in members]
    assert np.ptp(np.stack(each), axis=0).max() > 1e-3
    mean = np.exp(policy.log_probs(params, states))
    np.testing.assert_allclose(mean, np.mean(each, axis=0), rtol=1e-5)
    assert policy == behaviour.make((3,), space, 3)[0]
