"""Judgements from records alone, by hand on small arrays."""

import jax
import jax.numpy as jnp
import numpy as np
import tiny_dataset

from omgrl_jax.data import records
from omgrl_jax.data import scales as scales_lib
from omgrl_jax.data import space as space_lib
from omgrl_jax.evaluation import drift
from omgrl_jax.types import Dynamics, Policy, Step


def test_nearest_distance_by_hand():
    known = jnp.array([[0.0, 0.0], [3.0, 4.0]])
    states = jnp.array([[3.0, 0.0], [3.0, 4.0], [0.0, -2.0]])
    np.testing.assert_allclose(
        drift.nearest_distance(states, known), [3.0, 0.0, 2.0], atol=1e-6
    )


def recorded(split):
    schema, arrays = tiny_dataset.schema(), tiny_dataset.trajectories(24)
    space = space_lib.make_space(schema, "paper")
    scales = scales_lib.fit_scales(schema, space, arrays)
    return records.make_records(schema, space, scales, arrays, split, 3)


def uniform(params, states):
    return jnp.broadcast_to(params, (*states.shape[:-1], 3))


def test_rollouts_of_a_world_that_leaves_drift_away_and_records_do_not():
    """A world that moves every feature by its parameter: far, the drift is linear."""
    train, test = recorded("train"), recorded("test")

    def shift(params, key, states, actions):
        nothing = 0.0 * jax.random.normal(key, states.shape)
        return Step(states + params + nothing, states[:, :1])

    dynamics, policy = Dynamics(shift, shift), Policy(uniform)
    logits = jnp.full(3, -jnp.log(3.0))

    def run(step):
        return drift.drift(
            *(dynamics, jnp.float32(step), policy, logits, jax.random.key(0)),
            *(train, test, (1, 3)),
            size=200,
        )

    far, held = run(1000.0)
    width = np.sqrt(test.states.shape[1])
    np.testing.assert_allclose(far, [1000 * width, 3000 * width], rtol=0.02)
    known = np.asarray(train.states[train.transitions])
    gaps = [
        np.linalg.norm(known - np.asarray(test.states[row + 3]), axis=1).min()
        for row in np.asarray(test.windows)
    ]
    # Windows are drawn with replacement: the mean over draws, near that over windows.
    assert min(gaps) <= held[1] <= max(gaps)
    np.testing.assert_allclose(held[1], np.mean(gaps), atol=3 * np.std(gaps) / 14)
    still, _ = run(0.0)
    np.testing.assert_allclose(still[0], still[1], rtol=1e-5)
