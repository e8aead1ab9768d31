"""The guardian: regions, thresholds and what lies outside of them."""

import dataclasses
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_dataset

from omgrl_jax import actions as actions_lib
from omgrl_jax.data import records, scales, space
from omgrl_jax.learners.guardian import guardian, points, regions
from omgrl_jax.models import rollout
from omgrl_jax.ops import density
from omgrl_jax.types import Dynamics, Policy, Spread, Step


def sample(count, width, seed=0):
    drawn = np.random.default_rng(seed).uniform(-1, 1, (count, width))
    return jnp.asarray(drawn, jnp.float32)


@pytest.mark.parametrize("count", [7, 1024, 2500])
def test_densities_by_tiles_are_those_of_one_point_after_the_other(count):
    kept, queries = sample(count, 3), 1.5 * sample(1300, 3, 1)
    each = jax.vmap(density.log_kernel_density, in_axes=(None, 0, None))
    wanted = each(kept, queries, 0.4)
    found = regions.log_densities(kept, queries, 0.4)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


def test_a_point_far_away_is_the_least_supported_and_no_infinity():
    region = regions.kernel(regions.RegionConfig(bandwidth=0.1))
    kept = region.fit(sample(200, 3))
    scores = region.score(kept, jnp.array([[0.0] * 3, [2.0] * 3, [30.0] * 3]))
    assert np.isfinite(scores).all()
    assert scores[0] < scores[1] < scores[2]


def test_distances_are_those_of_the_kth_neighbour():
    region = regions.nearest(regions.RegionConfig(neighbours=2))
    kept = region.fit(jnp.array([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]]))
    found = region.score(kept, jnp.array([[0.0, 0.0], [3.0, 4.0]]))
    # The point itself is the first; the next lie at 1, and at sqrt(9 + 9).
    np.testing.assert_allclose(found, [1.0, np.sqrt(18.0)], rtol=1e-5)


def test_points_kept_are_drawn_from_every_hour():
    """Of stays of 48 steps none is always left out, as every second one would be."""
    region = regions.kernel(regions.RegionConfig(points=2000))
    kept = np.asarray(region.fit(jnp.arange(4800.0)[:, None]).rows[:, 0])
    assert kept.size == np.unique(kept).size == 2000
    assert np.bincount(kept.astype(int) % 48, minlength=48).min() > 20
    region = regions.nearest(regions.RegionConfig(neighbours=5, points=4))
    with pytest.raises(ValueError, match="neighbours=5: 4 of 95 recorded steps"):
        region.fit(jnp.zeros((95, 1)))


def test_histories_of_records_may_begin_anew_as_those_of_rollouts_do(task):
    shape, train, _ = task
    encode = actions_lib.discrete(shape.num_actions).encode
    seen = points.PointConfig(history="summary")
    make = points.make(seen, shape, encode)
    cut = points.of_records(make, train, cut=1)
    # With every step the history begins anew: it tells what the step itself does.
    half = cut.shape[1] // 2
    np.testing.assert_allclose(cut[:, :half], cut[:, half:], atol=1e-5)
    whole = points.of_records(make, train)
    assert np.abs(whole[:, half:] - cut[:, half:]).max() > 0.1


@pytest.fixture(scope="module")
def task():
    schema, arrays = tiny_dataset.schema(), tiny_dataset.trajectories()
    shape = space.make_space(schema)
    fitted = scales.fit_scales(schema, shape, arrays)
    return shape, *(
        records.make_records(schema, shape, fitted, arrays, split, 3)
        for split in ("train", "validation")
    )


def made(task, dynamics=None, **settings):
    shape, train, held = task
    config = guardian.GuardianConfig(
        region=regions.RegionConfig(neighbours=2, degree=1), **settings
    )
    encode = actions_lib.discrete(shape.num_actions).encode
    found = guardian.make(config, shape, encode, dynamics)
    return found, found.fit(None, train, held)


def agreeing():
    """A world that stands still, whose members disagree the more, the further out."""

    def sample(params, key, states, actions):
        return Step(states, jnp.zeros((states.shape[0], 0)))

    def spread(params, states, actions):
        return Spread(jnp.zeros(states.shape[0]), jnp.sum(jnp.abs(states), axis=1))

    return Dynamics(sample, None, spread)


@pytest.mark.parametrize("kind", guardian.KINDS)
def test_the_threshold_covers_the_share_of_others_that_it_shall(task, kind):
    found, fitted = made(task, agreeing(), kind=kind, coverage=0.7)
    scores = found.of_records(fitted, None, task[2])
    share = float(np.mean(~np.asarray(guardian.outside(fitted, scores))))
    count = scores.shape[0]
    assert 0.7 <= share <= 0.7 + 1.0 / count + 1e-6


def test_a_polynomial_keeps_no_record_and_needs_as_many_as_it_has_monomials(task):
    _, fitted = made(task, kind="polynomial")
    columns = fitted.box.low.size
    assert fitted.region._fields == ("form",)
    assert fitted.region.form.shape == (columns + 1,) * 2
    region = regions.polynomial(regions.RegionConfig(degree=2))
    with pytest.raises(ValueError, match="degree=2: 78 monomials of 11 numbers"):
        region.fit(jnp.zeros((60, 11)))


@pytest.mark.parametrize("history", points.HISTORIES)
def test_rollouts_of_recorded_steps_score_as_the_records_do(task, history):
    """A stay from its beginning, told as a rollout, is the same points."""
    train = task[1]
    found, fitted = made(task, seen=points.PointConfig(history=history))
    stay = np.flatnonzero(np.asarray(train.stay) == 0)[:-1]
    steps = records.transition_at(train, jnp.asarray(stay))
    told = jax.tree.map(lambda x: x[:, None], steps)
    scores = found.of_rollouts(fitted, None, told)[:, 0]
    wanted = found.of_records(fitted, None, train)[: stay.size]
    np.testing.assert_allclose(scores, wanted, rtol=1e-4, atol=1e-4)


def test_history_tells_apart_what_the_present_does_not(task):
    shape = task[0]
    encode = actions_lib.discrete(shape.num_actions).encode
    states = jnp.zeros((3, shape.state_dim)).at[0].set(1.0)
    actions, first = jnp.zeros(3, jnp.int32), jnp.zeros(3, jnp.int32)
    for history, differs in (("none", False), ("steps", True), ("summary", True)):
        make = points.make(
            points.PointConfig(history=history, history_steps=1), shape, encode
        )
        found = make(states, actions, first)
        # Rows 1 and 2 are alike; before row 1 came another state.
        assert bool(jnp.any(found[1] != found[2])) == differs


def test_a_constant_feature_keeps_its_unit():
    box = points.fit_box(jnp.stack([jnp.full(50, 3.0), jnp.linspace(0, 10, 50)], 1))
    found = box.apply(jnp.array([[3.0, 5.0], [4.0, 5.0]]))
    np.testing.assert_allclose(found[:, 0], [0.0, 1.0], atol=1e-6)
    np.testing.assert_allclose(found[:, 1], 0.0, atol=1e-5)


def test_who_strays_is_outside_and_who_copies_is_not(task):
    train = task[1]
    found, fitted = made(task, coverage=0.95)
    still = agreeing()
    same = Policy(lambda params, states: jnp.zeros((*states.shape[:-1], 3)))
    starts = train.states[train.transitions[:6]]
    for states, low, high in ((starts, 0.0, 0.3), (starts + 9.0, 1.0, 1.0)):
        steps = rollout.rollout(still, None, same, None, jax.random.key(0), states, 2)
        scores = found.of_rollouts(fitted, None, steps)
        share = float(jnp.mean(guardian.outside(fitted, scores)))
        assert low <= share <= high


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "wall"}, "kind='wall'"),
        ({"coverage": 1.0}, "coverage=1.0: no step lies in an empty region"),
        ({"kind": "disagreement"}, "needs a world model that gives its spread"),
    ],
)
def test_guardians_that_cannot_be_are_refused(task, settings, message):
    with pytest.raises(ValueError, match=message):
        made(task, **settings)


def test_features_that_the_state_lacks_are_named(task):
    seen = points.PointConfig(features=("pain",))
    with pytest.raises(ValueError, match="features: the state has no pain; it has"):
        made(task, seen=seen)
    with pytest.raises(ValueError, match="history='all'"):
        dataclasses.replace(seen, history="all")


def main():
    """Times 10,000 queries of 100,000 points, by hand."""
    kept, queries = sample(100_000, 32), sample(10_000, 32, 1)
    run = jax.jit(regions.log_densities, static_argnums=2)
    run(kept, queries, 0.5).block_until_ready()
    began = time.perf_counter()
    run(kept, queries, 0.5).block_until_ready()
    print(time.perf_counter() - began)


if __name__ == "__main__":
    main()
