"""Continuous doses from records to policies: choices between -1 and 1 all along."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_dataset_continuous import ACTIONS, ARRAYS, SCHEMA

from omgrl_jax import actions, distributions
from omgrl_jax.algorithms import ogsrl
from omgrl_jax.data import dataset, records
from omgrl_jax.data import scales as scales_lib
from omgrl_jax.data import space as space_lib
from omgrl_jax.learners import cloning, constrained, dyna, limits, stochastic
from omgrl_jax.learners.guardian import guardian, regions
from omgrl_jax.models import ensemble, world, world_fit

REWARDED = dataclasses.replace(SCHEMA, reward={"kind": "recorded"})


def task(schema=REWARDED, stays=40):
    """x moves by a tenth of the first action; the second does nothing."""
    rng = np.random.default_rng(0)
    lengths = np.full(stays, 4)
    given = rng.uniform([-1.0, 0.0], [1.0, 5.0], (4 * stays, 2)).round(3)
    moves = np.concatenate(
        [np.zeros((stays, 1)), 0.1 * given[:, 0].reshape(stays, 4)], axis=1
    )
    arrays = dataset.Trajectories(
        observations=moves.cumsum(axis=1).reshape(-1, 1),
        actions=given,
        lengths=lengths,
        patients=np.arange(stays),
        split=np.arange(stays) % 3,
        terminals=np.ones(stays, bool),
        rewards=given[:, 0],
    )
    space = space_lib.make_space(schema, continuous=True)
    scales = scales_lib.fit_scales(schema, space, arrays)
    made = [
        records.make_records(schema, space, scales, arrays, name, 2)
        for name in ("train", "validation")
    ]
    return space, scales, *made


def test_records_hold_choices_in_the_order_of_the_schema():
    space = space_lib.make_space(SCHEMA, continuous=True)
    assert space.bounds == ((-1.0, 1.0), (0.0, 5.0))
    assert (space.action_shape, space.action_width) == ((2,), 2)
    scales = scales_lib.fit_scales(SCHEMA, space, ARRAYS)
    made = records.make_records(SCHEMA, space, scales, ARRAYS, "train", 2)
    # Two steps, then the filler of the last row.
    wanted = [[-1.0, -1.0], [0.5, 0.6], [0.0, 0.0]]
    np.testing.assert_allclose(made.actions, wanted, atol=1e-6)
    np.testing.assert_array_equal(made.amounts, np.zeros(3))


def test_networks_and_guardians_see_what_is_done():
    space = space_lib.make_space(SCHEMA, continuous=True)
    choices = jnp.array([[-3.0, 0.5], [0.2, 7.0]])
    for seen in (space_lib.action_inputs(space), space_lib.action_numbers(space)):
        np.testing.assert_allclose(seen(choices), [[-1.0, 0.5], [0.2, 1.0]])
    assert space_lib.actions(space) == ACTIONS.space()
    np.testing.assert_array_equal(space_lib.no_action(space), np.zeros(2))


def test_likelihoods_of_what_is_done_are_scipys():
    stats = pytest.importorskip("scipy.stats")
    family = distributions.of(actions.box((0.0, 0.0), (1.0, 1.0)))
    mean, std = np.array([-0.7, 0.4]), np.array([0.6, 0.3])
    numbers = jnp.asarray(np.concatenate([mean, np.log(std)]), jnp.float32)
    normal = stats.norm(mean, std)
    for choice, wanted in {
        (-1.0, 0.2): normal.logcdf([-1.0, 0])[0] + normal.logpdf([0, 0.2])[1],
        (0.3, 1.0): normal.logpdf([0.3, 0])[0] + normal.logsf([0, 1.0])[1],
        (-5.0, 9.0): normal.logcdf([-1.0, 0])[0] + normal.logsf([0, 1.0])[1],
    }.items():
        found = family.log_done(numbers, jnp.array(choice))
        np.testing.assert_allclose(found, wanted, rtol=1e-4)


@pytest.mark.parametrize("kind", ["doses", "levels"])
def test_a_clone_doses_as_often_as_the_clinicians(kind):
    """Three in ten get nothing, the others about .4 on the scale of choices."""
    rng = np.random.default_rng(1)
    none = rng.random(3000) < 0.3
    if kind == "doses":
        given = np.where(none, -1.0, rng.normal(0.4, 0.2, 3000))[:, None]
        space = actions.box((0.0,), (1.0,))
    else:
        given = np.where(none, 0, 1).astype(np.int32)
        space = actions.discrete(2)
    policy = stochastic.make((8,), 1, distributions.of(space))
    rows = jnp.arange(3000)
    recorded = records.Records(
        states=jnp.asarray(none[:, None] * 2.0 - 1.0, jnp.float32),
        actions=jnp.asarray(given, jnp.int32 if kind == "levels" else jnp.float32),
        **dict.fromkeys(records.Records._fields[2:7]),
        stay=rows,
        transitions=rows,
        windows=rows,
    )
    config = cloning.CloningConfig(steps=600, learning_rate=0.01, batch_size=256)
    start_key, clone_key, draw_key = jax.random.split(jax.random.key(0), 3)
    clone = jax.jit(cloning.make(config, policy))
    params = clone(policy.init(start_key), clone_key, recorded)
    drawn = np.asarray(policy.draw(params, draw_key, recorded.states))
    if kind == "levels":
        assert (drawn[none] == 0).mean() > 0.98 and (drawn[~none] == 1).mean() > 0.98
    else:
        done = np.clip(drawn[:, 0], -1.0, 1.0)
        assert (done[none] == -1.0).mean() > 0.9
        assert abs(done[~none].mean() - 0.4) < 0.05


def test_without_steps_a_clone_is_where_it_was():
    space, _, train, _ = task()
    family = distributions.of(space_lib.actions(space))
    policy = stochastic.make((4,), 1, family)
    first, second = jax.random.split(jax.random.key(3))
    params = policy.init(first)
    same = cloning.make(cloning.CloningConfig(steps=0), policy)(params, second, train)
    jax.tree.map(np.testing.assert_array_equal, same, params)


def test_ogsrl_learns_to_push_where_pushing_pays():
    """The reward is the first action: its mean rises to the top, guarded or not."""
    space, scales, train, validation = task(stays=400)
    made = world.make(world.WorldConfig((16,), (16,), "free", ends=True), space)
    fit = ensemble.FitConfig(
        members=1, elites=1, batch_size=32, learning_rate=1e-2, max_epochs=30
    )
    params, fits = world_fit.fit(
        made, world.WorldConfig(), fit, jax.random.key(0), scales, train, validation
    )
    assert set(fits) == {"features", "outcomes", "ends"}
    config = ogsrl.Config(
        hidden=(8,),
        cloning=cloning.CloningConfig(steps=50, batch_size=32),
        limits=limits.LimitsConfig(outside=1.0),
        guardian=guardian.GuardianConfig(region=regions.RegionConfig(points=50)),
        optimiser=constrained.ConstrainedConfig(
            radius=0.05, value_hidden=(8,), value_steps=5, value_batch=64
        ),
        rollout=dyna.RolloutConfig(horizon=4, rollouts=64),
        start="admission",
    )

    def sample(params, key, states, actions):
        # Ends by a known chance: where pushes lead, no record tells when stays end.
        step_key, end_key = jax.random.split(key)
        step = made.dynamics.sample(params, step_key, states, actions)
        goes_on = jax.random.bernoulli(end_key, 0.75, states.shape[:1])
        return step._replace(discount=goes_on.astype(jnp.float32))

    dynamics = made.dynamics._replace(sample=sample, ahead=None)
    algorithm = ogsrl.make(config, space, dynamics)
    data = dyna.Data(train, params, None, validation=validation)

    @jax.jit
    def run(key, data):
        init_key, draw_key, key = jax.random.split(key, 3)

        def one(carry, _):
            state, key = carry
            key, own = jax.random.split(key)
            state, metrics = algorithm.update(state, own, data)
            return (state, key), metrics["return/r_p"]

        start = algorithm.init(init_key, data), key
        (state, _), earned = jax.lax.scan(one, start, None, length=120)
        states = jnp.zeros((500, 1))
        given = algorithm.policy_params(state)
        return algorithm.policy.sample(given, draw_key, states), earned

    drawn, earned = run(jax.random.key(5), data)
    assert drawn.shape == (500, 2)
    # One step in four is the last: at the top one step earns 1,
    # the next .75, then .5625 and .4219.
    assert 2.85 > earned[-5:].mean() > 2.3 > earned[:5].mean() + 1.2
    assert np.clip(drawn[:, 0], -1, 1).mean() > 0.75
    with pytest.raises(ValueError, match="no list of actions"):
        algorithm.policy.log_probs(None, jnp.zeros((1, 1)))
