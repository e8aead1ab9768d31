"""Fitting an ensemble, against closed forms and hand-driven losses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omgrl_jax.models import ensemble
from omgrl_jax.ops import likelihood


def test_bootstrap_draws_whole_stays():
    # Stays 0..29 of 1 to 5 rows, their rows scattered over the table.
    rng = np.random.default_rng(0)
    stay = rng.permutation(np.repeat(np.arange(30), rng.integers(1, 6, 30)))
    rows = np.asarray(ensemble.bootstrap_rows(jax.random.key(0), stay, 5))
    assert rows.shape == (5, stay.size)
    drawn = []
    for member in rows:
        times = np.bincount(member, minlength=stay.size)
        cut = stay[member[-1]]  # the last stay may be cut to fill the member
        for number in np.unique(stay):
            counts = np.unique(times[stay == number])
            assert len(counts) == 1 or number == cut
        drawn.append({int(s) for s in stay[member]})
    # A bootstrap leaves about a third out, each member others.
    assert all(0.4 * 30 < len(d) < 0.85 * 30 for d in drawn)
    assert len({frozenset(d) for d in drawn}) == 5


def test_a_single_member_sees_every_row_once():
    rows = ensemble.bootstrap_rows(jax.random.key(0), np.array([2, 0, 2]), 1)
    np.testing.assert_array_equal(rows, [[0, 1, 2]])


@pytest.mark.parametrize(("members", "elites"), [(3, 4), (3, 0)])
def test_impossible_numbers_of_elites_are_named(members, elites):
    with pytest.raises(ValueError, match=f"elites={elites}.*members=3"):
        ensemble.FitConfig(members=members, elites=elites)


def linear_init(key):
    return {
        "w": 0.1 * jax.random.normal(key, (2,)),
        "b": jnp.zeros(()),
        "v": jnp.ones(()),
    }


def linear_loss(context, params, example):
    x, y = example
    mean = jnp.dot(params["w"], x) + params["b"]
    nll = likelihood.gaussian_nll(y[None], mean[None], params["v"][None])
    return context * nll[0]


def linear_data(count, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 2)).astype(np.float32)
    y = x @ np.array([1.5, -0.7]) + 0.4 + 0.5 * rng.normal(size=count)
    return jnp.asarray(x), jnp.asarray(y, jnp.float32)


def test_the_fit_reaches_the_closed_form_of_a_linear_gaussian():
    train, validation = linear_data(600, 0), linear_data(300, 1)
    config = ensemble.FitConfig(
        members=3,
        elites=2,
        learning_rate=0.02,
        weight_decay=0.0,
        batch_size=64,
        max_epochs=40,
        patience=8,
    )
    stay = np.repeat(np.arange(60), 10)
    fit = ensemble.fit(
        jax.random.key(0),
        linear_init,
        linear_loss,
        jnp.float32(1.0),
        train,
        validation,
        stay,
        config,
    )
    # Least squares on all rows; a member sees a resample of the stays, hence the width:
    # the standard error of a weight is .5 / sqrt(600) = .02.
    design = np.column_stack([train[0], np.ones(600)])
    solution, square, *_ = np.linalg.lstsq(design, np.asarray(train[1]), rcond=None)
    w, b = np.asarray(fit.params["w"]), np.asarray(fit.params["b"])
    np.testing.assert_allclose(w, np.tile(solution[:2], (2, 1)), atol=0.08)
    np.testing.assert_allclose(b, np.full(2, solution[2]), atol=0.08)
    log_var = np.log(square[0] / 600)
    np.testing.assert_allclose(fit.params["v"], np.full(2, log_var), atol=0.2)
    # The best validation loss is about the entropy of the noise.
    entropy = 0.5 * np.log(2 * np.pi * np.e * 0.25)
    np.testing.assert_allclose(fit.validation_loss.min(), entropy, atol=0.08)


def test_elites_are_the_best_members_best_first():
    train, validation = linear_data(80, 0), linear_data(40, 1)
    config = ensemble.FitConfig(members=5, elites=3, max_epochs=4, batch_size=16)
    fit = ensemble.fit(
        jax.random.key(3),
        linear_init,
        linear_loss,
        jnp.float32(1.0),
        train,
        validation,
        np.arange(80) // 4,
        config,
        epochs_per_call=2,
    )
    assert fit.validation_loss.shape == fit.train_loss.shape == (4, 5)
    best = fit.validation_loss.min(axis=0)
    np.testing.assert_array_equal(fit.elites, np.argsort(best)[:3])

    # The parameters kept are those of each elite's best epoch.
    def held_out(params):
        each = jax.vmap(linear_loss, in_axes=(None, None, 0))
        return jnp.mean(each(jnp.float32(1.0), params, validation))

    np.testing.assert_allclose(
        jax.vmap(held_out)(fit.params), best[fit.elites], rtol=1e-5
    )


# Members whose validation loss follows a given course: the parameter counts the steps
# taken (the optimiser is bypassed by a gradient of constant sign), the loss is looked
# up.
COURSES = jnp.array(
    [
        # Best at epoch 2, patience 2 runs out at epoch 4; the .1 comes too late.
        [5.0, 4.0, 3.0, 3.5, 3.6, 0.1, 0.1],
        # Improves to the end.
        [9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 2.0],
    ]
)


def course_init(key):
    # Which course a member follows must come from its key.
    return {
        "which": jax.random.randint(key, (), 0, 2).astype(jnp.float32),
        "x": jnp.zeros(()),
    }


def course_loss(rate, params, example):
    """Training: slope -1. Validation (example 1): the course at this epoch."""
    epoch = jnp.round(params["x"] / rate).astype(jnp.int32) - 1
    looked_up = COURSES[params["which"].astype(jnp.int32), jnp.clip(epoch, 0, 6)]
    return jnp.where(example > 0, looked_up, -params["x"])


def test_members_stop_on_their_own():
    config = ensemble.FitConfig(
        members=8,
        elites=8,
        learning_rate=0.01,
        weight_decay=0.0,
        batch_size=4,
        max_epochs=7,
        patience=2,
    )
    fit = ensemble.fit(
        jax.random.key(0),
        course_init,
        course_loss,
        jnp.float32(0.01),
        jnp.zeros(4),
        jnp.ones(1),
        np.arange(4),
        config,
        epochs_per_call=3,
    )
    courses = np.asarray(fit.params["which"]).astype(int)
    assert {0, 1} == set(courses.tolist())
    # Adam moves by its rate each step: best epoch 3 (index 2) and 7 (index 6).
    wanted = np.where(courses == 0, 0.03, 0.07)
    np.testing.assert_allclose(fit.params["x"], wanted, rtol=1e-3)
    # 2.0 is better than 3.0: those that went on come first.
    assert np.all(np.diff(courses) <= 0)
    assert fit.validation_loss.shape == (7, 8)


def test_the_fit_ends_when_all_members_have_stopped():
    config = ensemble.FitConfig(
        members=2,
        elites=2,
        learning_rate=0.01,
        weight_decay=0.0,
        batch_size=4,
        max_epochs=60,
        patience=2,
    )
    calls = []
    ensemble.fit(
        jax.random.key(0),
        course_init,
        course_loss,
        jnp.float32(0.01),
        jnp.zeros(4),
        jnp.ones(1),
        np.arange(4),
        config,
        lambda *call: calls.append(call[:2]),
        3,
    )
    # The slower course is flat from epoch 7 on: nobody improves after 7, 9 is enough.
    assert calls[-1][0] <= 12 and calls[0] == (3, 60)


def test_a_second_fit_compiles_nothing():
    train, validation = linear_data(64, 0), linear_data(32, 1)
    config = ensemble.FitConfig(members=2, elites=1, max_epochs=2, batch_size=32)
    traces = []

    def loss(context, params, example):
        traces.append(1)
        return linear_loss(context, params, example)

    def fit(seed, context):
        return ensemble.fit(
            jax.random.key(seed),
            linear_init,
            loss,
            jnp.float32(context),
            train,
            validation,
            np.arange(64),
            config,
            epochs_per_call=1,
        )

    first = fit(0, 1.0)
    once = len(traces)
    second = fit(1, 2.0)
    assert len(traces) == once > 0
    assert not np.array_equal(first.train_loss, second.train_loss)


def nan_loss(bad, params, example):
    del example
    return jnp.sum(params["w"]) + jnp.where(params["m"] < bad, jnp.nan, 0.0)


def nan_init(key):
    return {"w": jnp.zeros(1), "m": jax.random.uniform(key)}


@pytest.mark.parametrize("bad", [2.0, 0.5])
def test_members_that_never_were_finite_are_no_elites(bad):
    """Their kept parameters are the random first ones."""
    config = ensemble.FitConfig(members=8, elites=7, max_epochs=2, batch_size=2)
    with pytest.raises(FloatingPointError, match="finite validation"):
        ensemble.fit(
            jax.random.key(0),
            nan_init,
            nan_loss,
            jnp.float32(bad),
            jnp.zeros(4),
            jnp.zeros(2),
            np.arange(4),
            config,
        )


def test_the_step_size_is_halved_as_often_as_was_asked():
    # Under a constant gradient every step of Adam is its step size long.
    def loss(context, params, example):
        del context
        return params * jnp.sign(example)

    config = ensemble.FitConfig(
        members=1,
        elites=1,
        learning_rate=0.5,
        weight_decay=0.0,
        batch_size=4,
        max_epochs=7,
        patience=7,
        halve_every=2,
    )
    ones = jnp.ones(12)  # three steps an epoch
    fit = ensemble.fit(
        jax.random.key(0), lambda key: jnp.zeros(()), loss, (), ones, ones, ones, config
    )
    lengths = 0.5 * np.array([1, 1, 1 / 2, 1 / 2, 1 / 4, 1 / 4, 1 / 8])
    expected = -np.cumsum(3 * lengths)
    np.testing.assert_allclose(fit.validation_loss[:, 0], expected, rtol=1e-5)


@pytest.mark.parametrize(("bootstrap", "same"), [(False, True), (True, False)])
def test_members_may_see_all_stays_instead_of_their_own(bootstrap, same):
    # The least squares of two stays of one value each: only who sees both, and each
    # half of the time, comes to their mean.
    def loss(context, params, example):
        del context
        return jnp.square(params - example)

    rows = jnp.asarray(np.repeat([0.0, 1.0], 64), jnp.float32)
    config = ensemble.FitConfig(
        members=8,
        elites=8,
        learning_rate=0.05,
        weight_decay=0.0,
        batch_size=64,
        max_epochs=60,
        patience=60,
        halve_every=20,
        bootstrap=bootstrap,
    )
    fit = ensemble.fit(
        jax.random.key(0), lambda key: jnp.full((), 0.5), loss, (), rows, rows,
        jnp.asarray(rows, jnp.int32), config,
    )  # fmt: skip
    # The loss at the end, not at the best epoch, tells what a member was drawn to.
    assert bool(np.all(fit.validation_loss[-1] < 0.26)) == same


def test_members_and_epochs_draw_batches_of_their_own():
    """With equal starts and the same rows they differ by their batches alone."""
    train, validation = linear_data(80, 0), linear_data(40, 1)
    config = ensemble.FitConfig(
        members=3, elites=3, max_epochs=2, batch_size=16, bootstrap=False
    )
    fit = ensemble.fit(
        jax.random.key(3),
        lambda key: {"w": jnp.zeros(2), "b": jnp.zeros(()), "v": jnp.ones(())},
        # No gradient: a loss says nothing but which rows were drawn.
        lambda context, params, example: context * example[1],
        jnp.float32(1.0),
        train,
        validation,
        np.arange(80),
        config,
    )
    assert np.unique(fit.train_loss).size == 6
    assert np.unique(fit.validation_loss).size == 1
