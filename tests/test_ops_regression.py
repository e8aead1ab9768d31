"""Ridge regression and linear probes against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omgrl_jax.ops import regression


def drawn(rows=60, size=3):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, size)) * np.array([1.0, 5.0, 0.1])[:size] + 2.0
    y = x @ np.array([1.0, -2.0, 30.0])[:size] + 4.0 + 3.0 * rng.normal(size=rows)
    return x.astype(np.float32), y.astype(np.float32)


def test_ridge_is_least_squares_with_rows_for_the_prior():
    x, y = drawn()
    found = regression.ridge(jnp.asarray(x), jnp.asarray(y), 7.0)
    rows = np.concatenate([x, np.sqrt(7.0) * np.eye(3)])
    expected = np.linalg.lstsq(rows, np.concatenate([y, np.zeros(3)]), rcond=None)[0]
    np.testing.assert_allclose(found, expected, rtol=1e-3)
    assert np.abs(regression.ridge(jnp.asarray(x), jnp.asarray(y), 1e9)).max() < 1e-3


def test_probe_is_least_squares_on_the_other_folds():
    x, y = drawn()
    ones = np.concatenate([x, np.ones((60, 1))], axis=1)
    predicted = np.empty(60)
    for fold in range(10):
        own = np.arange(60) % 10 == fold
        weights = np.linalg.lstsq(ones[~own], y[~own], rcond=None)[0]
        predicted[own] = ones[own] @ weights
    expected = 1 - np.square(y - predicted).sum() / np.square(y - y.mean()).sum()
    found = jax.jit(regression.cross_validated_r2, static_argnums=2)(x, y, 10)
    assert 0.5 < expected < 0.99  # neither nothing nor all is told
    assert float(found) == pytest.approx(expected, rel=1e-3)


def test_probe_of_noise_tells_nothing():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(200, 5)), rng.normal(size=200)
    found = regression.cross_validated_r2(
        jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32), 10
    )
    assert float(found) < 0.02


def test_a_probe_of_others_is_their_least_squares():
    x, y = drawn()
    ones = np.concatenate([x, np.ones((60, 1))], axis=1)
    weights = np.linalg.lstsq(ones[:40], y[:40], rcond=None)[0]
    new = y[40:]
    missed = new - ones[40:] @ weights
    expected = 1 - np.square(missed).sum() / np.square(new - new.mean()).sum()
    found = jax.jit(regression.transferred_r2)(x[:40], y[:40], x[40:], new)
    assert 0.5 < expected < 0.99
    assert float(found) == pytest.approx(expected, rel=1e-3)
