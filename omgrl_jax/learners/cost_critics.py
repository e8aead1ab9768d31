"""Values of costs beside those of the reward: what a policy will cost from here on."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from omgrl_jax import optimize
from omgrl_jax.data.space import Space
from omgrl_jax.learners import critic as critic_lib
from omgrl_jax.learners.soft_actor_critic import AgentConfig
from omgrl_jax.types import Array, Key, Metrics, Params, Transition


class State(NamedTuple):
    """Networks of J costs.

    Attributes:
      critic: leaves [J, ...], with their optimiser.
      target: slowly moving parameters.
    """

    critic: optimize.Learner
    target: Params


class CostCritics(NamedTuple):
    """The learner as pure functions.

    Attributes:
      init: `(key) -> State`.
      update: `(state, batch [B], costs [J, B], next_log_probs [B, A]) -> State`, one
        gradient step towards the costs of the policy. Costs of a step lie between 0 and
        1, or are so much less: no value is believed beyond what a whole future of them
        can cost.
      expected: `(state, states [B, S], log_probs [B, A]) -> [J, B]` discounted sums of
        costs that lie ahead of the policy.
      weighed: `(state, multipliers [J], states [B, S]) -> [B, A]`, the sum over costs
        of multiplier and value of each action.
    """

    init: Callable[[Key], State]
    update: Callable[[State, Transition, Array, Array], State]
    expected: Callable[[State, Array, Array], Array]
    weighed: Callable[[State, Array, Array], Array]


def make(
    config: AgentConfig, space: Space, count: int, least: Sequence[float] | None = None
) -> CostCritics:
    """Builds the critics.

    Args:
      config: widths, rates and discount are those of the reward's critics.
      space: the task.
      count: number of costs `J`, at least 1.
      least: what a step costs at least, for each of them, 1 less than at most; None for
        zeros.

    Returns:
      The functions.
    """
    critic = critic_lib.make(
        config.critic_hidden, space.state_dim, space.num_actions, copies=count
    )
    optimizer = optimize.adam(config.critic_learning_rate, config.max_gradient_norm)

    longest = 1.0 / max(1.0 - config.discount, 1e-6)
    low = jnp.array(least or (0.0,) * count, jnp.float32)[:, None, None]

    def values(params: Params, states: Array) -> Array:
        # A state after which nothing follows costs nothing.
        ends = jnp.minimum(low, 0.0), jnp.maximum(low + 1.0, 0.0)
        return jnp.clip(critic.values(params, states), *(longest * x for x in ends))

    def ahead(params: Params, states: Array, log_probs: Array) -> Array:
        q = values(params, states)
        return jnp.sum(jnp.exp(log_probs)[None] * q, axis=-1)

    def loss(
        params: Params, batch: Transition, targets: Array
    ) -> tuple[Array, Metrics]:
        errors = targets - critic_lib.taken(
            critic.values(params, batch.state), batch.action
        )
        return 0.5 * jnp.sum(jnp.mean(jnp.square(errors), axis=1)), {}

    step = optimize.gradient_step(loss, optimizer)

    def init(key: Key) -> State:
        params = critic.init(key)
        return State(optimize.start(optimizer, params), jax.tree.map(jnp.copy, params))

    def update(
        state: State, batch: Transition, costs: Array, next_log_probs: Array
    ) -> State:
        following = ahead(state.target, batch.next_state, next_log_probs)
        goes_on = config.discount * batch.discount[None]
        learner, _ = step(state.critic, batch, costs + goes_on * following)
        target = jax.tree.map(
            lambda old, new: old + config.target_rate * (new - old),
            state.target,
            learner.params,
        )
        return State(learner, target)

    def expected(state: State, states: Array, log_probs: Array) -> Array:
        return ahead(state.critic.params, states, log_probs)

    def weighed(state: State, multipliers: Array, states: Array) -> Array:
        q = values(state.critic.params, states)
        return jnp.einsum("j,jba->ba", multipliers, q)

    return CostCritics(init, update, expected, weighed)
