"""Starting a policy where the clinicians are: maximum likelihood of what they did."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from omgrl_jax import optimize
from omgrl_jax.data import records as records_lib
from omgrl_jax.data.records import Records
from omgrl_jax.learners.stochastic import Stochastic
from omgrl_jax.types import Array, Key, Metrics, Params


@dataclasses.dataclass(frozen=True)
class CloningConfig:
    """How a policy is brought to the clinicians'.

    Attributes:
      steps: gradient steps; 0 leaves the policy as it was drawn.
      learning_rate: Adam's step size.
      batch_size: recorded steps of each.
    """

    steps: int = dataclasses.field(default=2000, metadata={"min": 0})
    learning_rate: float = dataclasses.field(default=1e-3, metadata={"above": 0})
    batch_size: int = dataclasses.field(default=512, metadata={"min": 1})


def make(
    config: CloningConfig, policy: Stochastic
) -> Callable[[Params, Key, Records], Params]:
    """Builds the trainer.

    Args:
      config: settings.
      policy: the policy.

    Returns:
      `(params, key, records) -> params` after all steps.
    """
    optimizer = optimize.adam(config.learning_rate)

    def loss(params: Params, states: Array, actions: Array) -> tuple[Array, Metrics]:
        numbers = policy.numbers(params, states)
        return -jnp.mean(policy.distribution.log_done(numbers, actions)), {}

    step = optimize.gradient_step(loss, optimizer)

    def clone(params: Params, key: Key, records: Records) -> Params:
        def one(learner: optimize.Learner, rows: Array) -> tuple:
            given = records.states[rows], records.actions[rows]
            return step(learner, *given)[0], None

        start = optimize.start(optimizer, params)
        count = config.steps * config.batch_size
        rows = records_lib.sample_rows(records, key, count)
        rows = rows.reshape(config.steps, config.batch_size)
        return jax.lax.scan(one, start, rows)[0].params

    return clone
