"""d3rlpy's DiscreteCQL on batches and networks of the same size."""

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np

from experiments.config import RunConfig
from omgrl_jax.data.space import Space

_STEPS, _EPISODES = 48, 100


def make(
    run: RunConfig, space: Space, state: Any, updates: int
) -> Callable[[], object] | None:
    """A callable that makes so many updates, or None where d3rlpy is not installed.

    Args:
      run: settings.
      space: the task.
      state: not used; every control is made alike.
      updates: of one call.
    """
    del state
    if importlib.util.find_spec("d3rlpy") is None:
        return None
    import d3rlpy

    agent = run.omg_rl.agent
    rng, count = np.random.default_rng(0), _STEPS * _EPISODES
    ends = np.zeros(count, np.float32)
    ends[_STEPS - 1 :: _STEPS] = 1.0
    dataset = d3rlpy.dataset.MDPDataset(
        observations=rng.normal(size=(count, space.state_dim)).astype(np.float32),
        actions=rng.integers(0, space.num_actions, (count, 1)),
        rewards=rng.normal(size=(count, 1)).astype(np.float32),
        terminals=ends,
        action_space=d3rlpy.ActionSpace.DISCRETE,
        action_size=space.num_actions,
    )
    encoder = d3rlpy.models.VectorEncoderFactory(list(agent.critic_hidden))
    learner = d3rlpy.algos.DiscreteCQLConfig(
        learning_rate=agent.critic_learning_rate,
        batch_size=agent.batch_size,
        n_critics=2,
        encoder_factory=encoder,
    ).create(device="cpu")
    learner.build_with_dataset(dataset)

    def learn() -> object:
        for _ in range(updates):
            # Drawn in the loop, as its own `fit` does.
            batch = dataset.sample_transition_batch(agent.batch_size)
            told = learner.update(batch)
        return told

    return learn
