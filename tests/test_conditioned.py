"""Perceptrons that are told of an agent: written out, and folded."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omgrl_jax import networks
from omgrl_jax.models import conditioned, personal

AGENTS, STATES, ACTIONS, PAST = 6, 2, 3, 5
TELLERS = {
    "nothing": conditioned.nothing(),
    "number": conditioned.number(AGENTS),
    "past": conditioned.past(PAST, (4,), 3),
}


def drawn(kind, widths=(8, 7), huber=0.0):
    model = conditioned.make(TELLERS[kind], widths, STATES, ACTIONS, huber)
    params = model.init(jax.random.key(0))
    bias = jax.random.normal(jax.random.key(1), params.network.bias.shape)
    return model, params._replace(network=params.network._replace(bias=bias))


def told(kind):
    past = jax.random.normal(jax.random.key(2), (PAST,))
    return past if kind == "past" else jnp.int32(4)


def by_hand(kind, params, state, action):
    """The change, layer by layer."""
    if kind == "nothing":
        shift = 0.0
    elif kind == "number":
        shift = np.asarray(params.teller)[4]
    else:
        encoding, last = params.teller
        x = np.asarray(told(kind))
        first, second = (encoding["params"][f"Dense_{i}"] for i in range(2))
        x = np.maximum(x @ first["kernel"] + first["bias"], 0.0)
        shift = (x @ second["kernel"] + second["bias"]) @ np.asarray(last)
    layers = params.network.body["params"]
    first, second = layers["Dense_0"], layers["Dense_1"]
    h = np.maximum(state @ first["kernel"] + first["bias"] + shift, 0.0)
    h = np.maximum(h @ second["kernel"] + second["bias"], 0.0)
    return h @ np.asarray(params.network.head)[action] + params.network.bias[action]


@pytest.mark.parametrize("kind", TELLERS)
def test_what_is_told_shifts_the_first_layer(kind):
    model, params = drawn(kind)
    state = np.array([0.4, -0.9], np.float32)
    folded = jax.jit(model.fold)(params, told(kind))
    for action in range(ACTIONS):
        expected = np.asarray(by_hand(kind, params, state, action))
        found = personal.change(folded, state[:, None], jnp.array([action]))
        np.testing.assert_allclose(found[:, 0], expected, rtol=1e-4, atol=1e-5)
        off = np.array([0.6, -0.2], np.float32)
        example = conditioned.Example(
            told(kind), jnp.asarray(state), jnp.int32(action), expected + off
        )
        # (.36 + .04) / 2 / 2
        assert float(model.loss((), params, example)) == pytest.approx(0.1, rel=1e-4)


def test_huber_reaches_the_loss():
    model, params = drawn("nothing", huber=0.5)
    state = np.array([0.4, -0.9], np.float32)
    expected = np.asarray(by_hand("nothing", params, state, 1))
    example = conditioned.Example(
        told("nothing"), jnp.asarray(state), jnp.int32(1), expected + np.float32(2.0)
    )
    # .5 (2 - .25) for both features
    assert float(model.loss((), params, example)) == pytest.approx(0.875, rel=1e-4)


def test_different_agents_are_told_apart():
    model, params = drawn("number")
    one, other = (model.fold(params, jnp.int32(n)) for n in (0, 1))
    states, actions = jnp.ones((STATES, 1)), jnp.zeros(1, jnp.int32)
    apart = personal.change(one, states, actions) - personal.change(
        other, states, actions
    )
    assert np.abs(apart).max() > 1e-3


@pytest.mark.parametrize("inputs", [3, 12])
def test_columns_are_rows_turned(inputs):
    network = networks.MLP((6, 5), 4)
    params = network.init(jax.random.key(0), jnp.zeros(inputs))
    rows = jax.random.normal(jax.random.key(1), (9, inputs))
    expected = network.apply(params, rows)
    found = networks.apply_columns(params, rows.T)
    np.testing.assert_allclose(found.T, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", TELLERS)
def test_continuous_actions_join_the_state(kind):
    model = conditioned.make(TELLERS[kind], (8, 7), STATES, action_dim=3)
    params = model.init(jax.random.key(0))
    states, actions = (
        jax.random.normal(jax.random.key(seed), (5, size))
        for seed, size in ((1, STATES), (2, 3))
    )
    # A state of five features without actions, as far as the layers can tell.
    joined = np.concatenate([states, actions], axis=1)
    expected = np.stack([by_hand(kind, params, row, 0) for row in joined])
    found = model.folded(model.fold(params, told(kind)), states.T, actions.T)
    np.testing.assert_allclose(found.T, expected, rtol=1e-4, atol=1e-5)
    off = np.array([0.6, -0.2], np.float32)
    one = (told(kind), states[1], actions[1], jnp.asarray(expected[1]) + off)
    loss = float(model.loss((), params, conditioned.Example(*one)))
    assert loss == pytest.approx(0.1, rel=1e-3)  # (.36 + .04) / 2 / 2


def test_mixed_or_missing_action_types_are_refused():
    for kinds in ({}, {"num_actions": 3, "action_dim": 2}):
        with pytest.raises(ValueError, match="either discrete or continuous"):
            conditioned.make(TELLERS["nothing"], (8,), STATES, **kinds)
