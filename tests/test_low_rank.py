"""Low-rank dynamics: recovered where they are exact, missed by too low a rank."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omgrl_jax.models import ensemble, low_rank, personal

AGENTS, STATES, ACTIONS, ROWS = 40, 2, 3, 6000
NOISE = 0.02


@functools.cache
def system():
    """Agents, states, actions and changes of an exact system of rank two."""
    rng = np.random.default_rng(0)
    u = rng.normal(size=(AGENTS, 2))
    a = np.array([[1.0, 0.2], [0.1, 1.0], [-0.8, 0.9]])
    agent = rng.integers(AGENTS, size=ROWS)
    state = rng.uniform(-1.0, 1.0, (ROWS, STATES))
    action = rng.integers(ACTIONS, size=ROWS)
    x, y = state.T
    g = np.stack([[np.sin(2 * x), x * y], [np.cos(2 * y), y - x**2]])  # [k, d, rows]
    change = np.einsum("rk,rk,kdr->rd", u[agent], a[action], g)
    noisy = change + NOISE * rng.normal(size=change.shape)
    example = low_rank.Example(
        jnp.asarray(agent, jnp.int32),
        jnp.asarray(state, jnp.float32),
        jnp.asarray(action, jnp.int32),
        jnp.asarray(noisy, jnp.float32),
    )
    return example, change.astype(np.float32)


@functools.cache
def fitted(rank):
    """Error of new steps without noise, relative to the changes' spread."""
    every, clean = system()
    train, held_out, test = (
        jax.tree.map(lambda x, at=at: x[at], every)
        for at in (slice(5000), slice(5000, 5500), slice(5500, None))
    )
    config = low_rank.Config(rank=rank, state_hidden=(64,))
    model = low_rank.make(config, AGENTS, STATES, ACTIONS)
    fit = ensemble.FitConfig(
        members=1,
        elites=1,
        learning_rate=1e-2,
        weight_decay=0.0,
        batch_size=128,
        max_epochs=60,
        patience=60,
    )
    found = ensemble.fit(
        jax.random.key(rank),
        model.init,
        model.loss,
        (),
        train,
        held_out,
        train.agent,
        fit,
    )
    factors = jax.tree.map(lambda x: x[0], found.params)
    u = factors.agents[test.agent]
    change = jax.vmap(model.change, in_axes=(None, 0, 0, 0))
    predicted = change(factors.shared, u, test.state, test.action)
    error = np.sqrt(np.mean(np.square(np.asarray(predicted) - clean[5500:])))
    return error / clean.std()


def test_a_system_of_known_rank_is_recovered_to_its_noise():
    _, clean = system()
    assert fitted(2) < 2.0 * NOISE / clean.std()


def test_rank_one_cannot_hold_a_system_of_rank_two():
    assert fitted(1) > 0.2


def drawn(num_actions=ACTIONS, action_dim=0, huber=0.0):
    config = low_rank.Config(4, (8, 16), (5,), huber)
    model = low_rank.make(config, AGENTS, STATES, num_actions, action_dim)
    factors = model.init(jax.random.key(3))
    bias = jax.random.normal(jax.random.key(4), factors.shared.bias.shape)
    return model, factors._replace(shared=factors.shared._replace(bias=bias))


def test_change_is_the_sum_over_factors_written_out():
    model, (agents, shared) = drawn()
    state = np.array([0.3, -0.7], np.float32)
    layer = shared.body["params"]
    h = state
    for name in ("Dense_0", "Dense_1"):
        h = np.maximum(h @ layer[name]["kernel"] + layer[name]["bias"], 0.0)
    for n, action in ((0, 2), (7, 1)):
        expected = np.zeros(STATES)
        for k in range(4):
            g = h @ np.asarray(shared.head)[:, :, k] + np.asarray(shared.bias)[:, k]
            expected += float(agents[n, k]) * float(shared.actions[action, k]) * g
        found = model.change(shared, agents[n], jnp.asarray(state), jnp.int32(action))
        np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize(("huber", "expected"), [(0.0, 0.05), (0.3, 0.0475)])
def test_loss_is_of_the_mean_error_of_the_change(huber, expected):
    model, factors = drawn(huber=huber)
    state, action = jnp.array([0.3, -0.7]), jnp.int32(2)
    right = model.change(factors.shared, factors.agents[7], state, action)
    off = low_rank.Example(jnp.int32(7), state, action, right + jnp.array([0.4, -0.2]))
    # (.16 + .04) / 2 / 2, or (.3 (.4 - .15) + .04 / 2) / 2
    assert float(model.loss((), factors, off)) == pytest.approx(expected, rel=1e-4)


def test_a_folded_simulator_is_the_agents_own():
    model, (agents, shared) = drawn()
    states = jax.random.normal(jax.random.key(0), (30, STATES))
    actions = jnp.arange(30, dtype=jnp.int32) % ACTIONS
    change = jax.vmap(model.change, in_axes=(None, None, 0, 0))
    for n in (0, 5):
        folded = model.fold(shared, agents[n])
        found = personal.change(folded, states.T, actions)
        expected = change(shared, agents[n], states, actions)
        np.testing.assert_allclose(found.T, expected, rtol=1e-4, atol=1e-5)


def test_an_unseen_agent_is_inferred_from_its_steps_and_from_the_others():
    model, (agents, shared) = drawn()
    u, prior = agents[3], jnp.mean(agents, axis=0)
    states = jax.random.normal(jax.random.key(0), (40, STATES))
    actions = jnp.arange(40, dtype=jnp.int32) % ACTIONS
    every = jax.vmap(model.change, in_axes=(None, None, 0, 0))
    change = every(shared, u, states, actions)
    steps = low_rank.Example(jnp.zeros(40, jnp.int32), states, actions, change)
    infer = jax.jit(functools.partial(low_rank.infer, model, shared, prior))
    counted = jnp.ones(40, bool)
    np.testing.assert_allclose(infer(steps, counted, 1e-5), u, atol=0.01)
    # What does not count is not seen; of nothing seen the others' mean is left.
    first = jnp.arange(40) < 20
    spoiled = steps._replace(change=jnp.where(first[:, None], change, 50.0))
    np.testing.assert_allclose(infer(spoiled, first, 1e-5), u, atol=0.01)
    np.testing.assert_allclose(infer(steps, ~counted, 1.0), prior, rtol=1e-5)
    # The stronger the prior, the nearer to it.
    near, far = (
        float(jnp.linalg.norm(infer(steps, counted, strength) - prior))
        for strength in (1e4, 1.0)
    )
    assert near < 0.1 * far


def test_continuous_actions_have_a_perceptron_for_their_factor():
    model, (agents, shared) = drawn(num_actions=0, action_dim=3)
    state, action = jnp.array([0.3, -0.7]), jnp.array([0.1, -0.5, 0.9])
    found = model.change(shared, agents[1], state, action)
    assert found.shape == (STATES,)
    slope = jax.jacobian(model.change, argnums=3)(shared, agents[1], state, action)
    assert np.all(np.abs(slope).max(axis=0) > 0)
    # Twice the agent's factor, twice the change: linear in u by construction.
    twice = model.change(shared, 2 * agents[1], state, action)
    np.testing.assert_allclose(twice, 2 * found, rtol=1e-5)
    # Folded, it is the same of many states and actions side by side.
    states, actions = (
        jax.random.normal(jax.random.key(seed), (30, size))
        for seed, size in ((0, STATES), (1, 3))
    )
    folded = model.folded(model.fold(shared, agents[1]), states.T, actions.T)
    every = jax.vmap(model.change, in_axes=(None, None, 0, 0))
    expected = every(shared, agents[1], states, actions)
    np.testing.assert_allclose(folded.T, expected, rtol=1e-4, atol=1e-5)


def test_an_unseen_agent_of_continuous_actions_is_inferred_too():
    model, (agents, shared) = drawn(num_actions=0, action_dim=3)
    states, actions = (
        jax.random.normal(jax.random.key(seed), (40, size))
        for seed, size in ((0, STATES), (1, 3))
    )
    every = jax.vmap(model.change, in_axes=(None, None, 0, 0))
    change = every(shared, agents[3], states, actions)
    steps = low_rank.Example(jnp.zeros(40, jnp.int32), states, actions, change)
    infer = jax.jit(functools.partial(low_rank.infer, model))
    prior, counted = jnp.mean(agents, axis=0), jnp.ones(40, bool)
    found = infer(shared, prior, steps, counted, 1e-5)
    np.testing.assert_allclose(found, agents[3], atol=0.02)


@pytest.mark.parametrize("kinds", [(0, 0), (3, 2)])
def test_mixed_or_missing_action_types_are_refused(kinds):
    with pytest.raises(ValueError, match="either discrete or continuous"):
        low_rank.make(low_rank.Config(), AGENTS, STATES, *kinds)
    with pytest.raises(ValueError, match="needs a layer"):
        low_rank.Config(state_hidden=())
