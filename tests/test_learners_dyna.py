"""The loop body of model-based methods: rollouts kept, halves of a batch."""

import jax
import jax.numpy as jnp
import numpy as np
import tiny_dataset

from omgrl_jax.data import buffer as buffer_lib
from omgrl_jax.data import records
from omgrl_jax.data import scales as scales_lib
from omgrl_jax.data import space as space_lib
from omgrl_jax.learners import dyna
from omgrl_jax.learners import soft_actor_critic as sac
from omgrl_jax.models.rollout import alive_in
from omgrl_jax.types import Dynamics, Step, Transition


def task():
    schema, arrays = tiny_dataset.schema(), tiny_dataset.trajectories()
    space = space_lib.make_space(schema, "paper")
    scales = scales_lib.fit_scales(schema, space, arrays)
    return space, records.make_records(schema, space, scales, arrays, "train", 2)


def shift(params, key, states, actions):
    """A world that adds its parameter; the key is consumed for nothing."""
    nothing = 0.0 * jax.random.normal(key, states.shape)
    return Step(states + params + nothing, states[:, :1])


def test_rollouts_start_at_recorded_states_and_fill_the_ring():
    space, train = task()
    config = dyna.RolloutConfig(horizon=3, rollouts=8, kept_epochs=2)
    agent = sac.make(sac.AgentConfig((4,), (4,)), space)
    params = agent.init(jax.random.key(0)).actor.params
    data = dyna.Data(train, jnp.float32(10.0), None)
    buffer = dyna.empty_buffer(config, space)
    known = np.asarray(train.states[train.transitions])
    for epoch, key in enumerate(jax.random.split(jax.random.key(1), 3)):
        dynamics = Dynamics(shift, shift)
        steps = dyna.collect(
            config, dynamics, agent.policy, params, key, data, data.train.transitions
        )
        assert steps.state.shape == (3, 8, 2)
        for start in np.asarray(steps.state[0]):
            assert np.any(np.all(start == known, axis=1))
        np.testing.assert_allclose(steps.state[2], steps.state[0] + 20.0, rtol=1e-5)
        buffer = dyna.keep(buffer, steps, jnp.ones((3, 8)))
        assert int(buffer.added) == 24 * (epoch + 1)
    # Two epochs of 24 rows are kept; the newest lies where the oldest was.
    assert buffer.rows.action.shape == (48,)
    newest = buffer.rows.state[:24].reshape(3, 8, 2)
    np.testing.assert_array_equal(newest, steps.state)


def test_what_comes_after_an_end_is_not_kept():
    space, _ = task()
    config = dyna.RolloutConfig(horizon=3, rollouts=2, kept_epochs=1)
    buffer = dyna.empty_buffer(config, space)
    numbers = jnp.arange(6.0).reshape(3, 2)
    nothing = jnp.zeros((3, 2, 2))
    steps = Transition(
        nothing + numbers[..., None],
        jnp.zeros((3, 2), jnp.int32),
        nothing,
        nothing[..., :1],
        jnp.array([[1.0, 0.0], [1.0, 1.0], [1.0, 1.0]]),
        jnp.zeros((3, 2)),
    )
    alive = alive_in(steps)
    np.testing.assert_array_equal(alive, [[1, 1], [1, 0], [1, 0]])
    kept = dyna.keep(buffer, steps, alive).rows.state[:, 0]
    # Steps 0, 1, 2 and 4 happened; two of them stand twice.
    np.testing.assert_array_equal(kept, [0, 0, 1, 2, 2, 4])
    everything = dyna.keep(buffer, steps, jnp.ones((3, 2))).rows.state[:, 0]
    np.testing.assert_array_equal(everything, np.arange(6))


def test_batches_mix_recorded_and_rolled_out_steps_in_their_shares():
    train = task()[1]
    config = sac.AgentConfig((4,), (4,), batch_size=10, recorded_share=0.3, updates=4)
    sizes = []

    def update(state, reward, recorded, sampled):
        sizes.append((recorded.action.size, sampled.action.size))
        # Rolled-out rows of this ring are numbered from 100.
        real = jnp.all(recorded.action < 3) & jnp.all(sampled.action >= 100)
        return state + 1, {"real": real.astype(jnp.float32), "state": state}

    row = records.transition_at(train, train.transitions[:5])
    example = jax.tree.map(lambda x: x[0], row)
    numbered = row._replace(action=jnp.arange(100, 105, dtype=jnp.int32))
    ring = buffer_lib.add(buffer_lib.empty(example, 5), numbered)
    state, metrics = dyna.improve(
        config, update, jnp.float32(0.0), ring, None, jax.random.key(0), train
    )
    assert set(sizes) == {(3, 7)}
    assert metrics["real"] == 1.0
    # Four updates; metrics are their mean: (0 + 1 + 2 + 3) / 4.
    assert state == 4.0 and metrics["state"] == 1.5


def test_a_recorded_share_of_one_never_reads_the_ring():
    train = task()[1]
    config = sac.AgentConfig((4,), (4,), batch_size=10, recorded_share=1.0, updates=3)

    def update(state, reward, recorded, sampled):
        assert (recorded.action.size, sampled.action.size) == (5, 5)
        real = jnp.all(recorded.action < 3) & jnp.all(sampled.action < 3)
        return state + 1, {"real": real.astype(jnp.float32)}

    state, metrics = dyna.improve(
        config, update, jnp.float32(0.0), None, None, jax.random.key(0), train
    )
    assert state == 3.0 and metrics["real"] == 1.0


def test_every_update_has_a_batch_of_its_own():
    train = task()[1]
    config = sac.AgentConfig((4,), (4,), batch_size=10, updates=4)
    row = records.transition_at(train, train.transitions[:5])
    example = jax.tree.map(lambda x: x[0], row)
    numbered = row._replace(action=jnp.arange(5, dtype=jnp.int32))
    ring = buffer_lib.add(buffer_lib.empty(example, 5), numbered)

    def update(state, reward, recorded, sampled):
        count, seen = state
        drawn = jnp.stack([recorded.state[:, 0], sampled.action.astype(jnp.float32)])
        return (count + 1, seen.at[count].set(drawn)), {}

    start = jnp.int32(0), jnp.zeros((4, 2, 5))
    (_, seen), _ = dyna.improve(
        config, update, start, ring, None, jax.random.key(0), train
    )
    for batches in np.moveaxis(np.asarray(seen), 1, 0):
        assert len(np.unique(batches, axis=0)) == 4
