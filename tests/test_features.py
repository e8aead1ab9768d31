"""Changes of features: one Gaussian, or a mixture, against sums by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import stats

from omgrl_jax.data.space import Space
from omgrl_jax.models import features
from omgrl_jax.models.example import Example

# Two features move, the second of three stands still; two actions.
SPACE = Space(("a", "b", "c"), (0, 1, 2), (0, 2), (), ("reward",), 2, None, 0)
STATE = jnp.array([0.3, -0.2, 0.1])


def given(values):
    """Networks without hidden layers that say the same of every state."""
    out = jnp.asarray(values, jnp.float32).reshape(-1)
    wide = jnp.zeros((5, out.size))
    # Clamped smoothly between -10 and 10: in the middle they are what they are.
    ends = {"low": jnp.full(2, -10.0), "high": jnp.full(2, 10.0)}
    return {"net": {"params": {"Dense_0": {"kernel": wide, "bias": out}}}, **ends}


def clamped(raw):
    """The soft clamp between -10 and 10."""
    x = 10 - np.logaddexp(0, 10 - raw)
    return -10 + np.logaddexp(0, x + 10)


def example(change):
    following = STATE.at[jnp.array([0, 2])].add(jnp.asarray(change, jnp.float32))
    nothing = jnp.zeros(1)
    found = {name: nothing for name in Example._fields}
    found |= {"state": STATE, "action": jnp.int32(1), "next_state": following}
    return Example(**found)


MEANS = np.array([[1.0, -2.0], [-1.0, 0.5]])
RAW = np.array([[-1.0, 0.2], [0.4, -0.8]])
WEIGHTS = np.array([[0.7, 0.2], [0.3, 0.8]])
TWO = np.stack([MEANS, RAW, np.log(WEIGHTS)])


def test_a_mixture_is_scored_by_its_density():
    made = features.make((), SPACE, components=2)
    change = np.array([0.4, -1.1])
    sd = np.exp(0.5 * clamped(RAW))
    density = (WEIGHTS * stats.norm.pdf(change[None], MEANS, sd)).sum(axis=0)
    wanted = -np.log(density).mean() + 1e-3 * 40 / 2
    found = made.loss(None, given(TWO), example(change))
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_moments_of_a_mixture_hold_what_lies_between_its_parts():
    made = features.make((), SPACE, components=2)
    mean, log_var = made.moments(given(TWO), STATE, jnp.int32(0))
    wanted = (WEIGHTS * MEANS).sum(axis=0)
    second = (WEIGHTS * (np.exp(clamped(RAW)) + MEANS**2)).sum(axis=0)
    np.testing.assert_allclose(mean, wanted, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(np.exp(log_var), second - wanted**2, rtol=1e-5)


@pytest.mark.parametrize("components", [1, 2])
def test_what_is_drawn_has_these_moments_and_each_part_its_share(components):
    made = features.make((), SPACE, components)
    params = given(TWO if components == 2 else TWO[:2, 0])
    noise = jax.vmap(made.noise)(jax.random.split(jax.random.key(0), 20_000))
    draws = jax.jit(jax.vmap(made.draw, in_axes=(None, 0, None, None)))
    found = np.asarray(draws(params, noise, STATE, jnp.int32(0)))
    mean, log_var = made.moments(params, STATE, jnp.int32(0))
    sd = np.exp(0.5 * np.asarray(log_var))
    # Five deviations of a mean of so many draws, and some more for one of a spread.
    np.testing.assert_allclose(found.mean(axis=0), mean, atol=5 * sd.max() / 141)
    np.testing.assert_allclose(found.std(axis=0), sd, rtol=0.03)
    if components == 2:
        below = (found < -1.2).mean(axis=0)
        spread = np.exp(0.5 * clamped(RAW))
        wanted = (WEIGHTS * stats.norm.cdf(-1.2, MEANS, spread)).sum(axis=0)
        np.testing.assert_allclose(below, wanted, atol=0.02)
        # Features are drawn each for itself.
        assert abs(np.corrcoef(found.T)[0, 1]) < 0.03


def test_each_of_three_parts_is_drawn_as_often_as_it_weighs():
    # Of two parts alone a draw turned upside down would be as likely.
    weights = np.array([[0.6, 0.1], [0.3, 0.2], [0.1, 0.7]])
    means = np.array([[-4.0, -4.0], [0.0, 0.0], [4.0, 4.0]])
    made = features.make((), SPACE, components=3)
    params = given(np.stack([means, np.full((3, 2), -4.0), np.log(weights)]))
    noise = jax.vmap(made.noise)(jax.random.split(jax.random.key(3), 20_000))
    draws = jax.jit(jax.vmap(made.draw, in_axes=(None, 0, None, None)))
    found = np.asarray(draws(params, noise, STATE, jnp.int32(0)))
    part = np.digitize(found, [-2.0, 2.0])
    shares = np.stack([(part == k).mean(axis=0) for k in range(3)])
    np.testing.assert_allclose(shares, weights, atol=0.02)


def test_one_component_is_the_gaussian():
    made = features.make((), SPACE)
    params = given(TWO[:2, 0])
    change = np.array([0.4, -1.1])
    sd = np.exp(0.5 * clamped(RAW[0]))
    wanted = -stats.norm.logpdf(change, MEANS[0], sd).mean() + 1e-3 * 40 / 2
    np.testing.assert_allclose(
        made.loss(None, params, example(change)), wanted, rtol=1e-5
    )


def test_a_blurred_likelihood_is_that_of_changes_read_with_an_error():
    change, error = np.array([0.4, -1.1]), 0.7
    sd = np.sqrt(np.exp(clamped(RAW)) + error**2)
    density = (WEIGHTS * stats.norm.pdf(change[None], MEANS, sd)).sum(axis=0)
    wanted = -np.log(density).mean() + 1e-3 * 40 / 2
    made = features.make((), SPACE, components=2, blur=error)
    found = made.loss(None, given(TWO), example(change))
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    # What is drawn is not blurred.
    plain = features.make((), SPACE, components=2)
    sharp, same = (
        one.draw(given(TWO), one.noise(jax.random.key(0)), STATE, jnp.int32(0))
        for one in (plain, made)
    )
    np.testing.assert_array_equal(sharp, same)


def test_a_feature_that_follows_by_rule_cannot_outweigh_the_others():
    """Far narrower than its error, a Gaussian pulls by error / blur^2, and no more."""
    narrow = jnp.array([[0.0, 0.0], [-9.0, -9.0]])
    pulls = {}
    for blur in (0.0, 0.1):
        made = features.make((), SPACE, blur=blur)
        slope = jax.grad(lambda p, made=made: made.loss(None, p, example([0.02, 0.02])))
        found = slope(given(narrow))["net"]["params"]["Dense_0"]["bias"]
        pulls[blur] = -np.asarray(found[:2])
    # Of two features each has half of the loss.
    np.testing.assert_allclose(pulls[0.1], 0.5 * 0.02 / 0.1**2, rtol=0.03)
    assert (pulls[0.0] > 50 * pulls[0.1]).all()


def fitted(made, batch, steps):
    """Parameters after so many steps of Adam on all examples."""
    optimizer = optax.adam(0.02)

    def loss(params):
        return jnp.mean(jax.vmap(made.loss, (None, None, 0))(None, params, batch))

    def one(carry, _):
        params, state = carry
        updates, state = optimizer.update(jax.grad(loss)(params), state)
        return (optax.apply_updates(params, updates), state), None

    @jax.jit
    def fit(params):
        start = params, optimizer.init(params)
        return jax.lax.scan(one, start, None, length=steps)[0][0]

    return fit(made.init(jax.random.key(0)))


def test_a_mixture_learns_a_tail_that_one_gaussian_misses():
    """One step in twenty falls by four deviations: how often is it seen below -2?"""
    rng = np.random.default_rng(0)
    falls = rng.random((4000, 2)) < 0.05
    changes = np.where(falls, -4.0, 0.0) + 0.3 * rng.normal(size=falls.shape)
    batch = jax.vmap(example)(changes)
    shares = {}
    for components in (1, 2):
        made = features.make((), SPACE, components)
        params = fitted(made, batch, 800)
        noise = jax.vmap(made.noise)(jax.random.split(jax.random.key(1), 10_000))
        draws = jax.jit(jax.vmap(made.draw, in_axes=(None, 0, None, None)))
        drawn = np.asarray(draws(params, noise, STATE, jnp.int32(1)))
        shares[components] = (drawn < -2.0).mean()
    assert abs(shares[2] - 0.05) < 0.01
    assert abs(shares[1] - 0.05) > 0.02
