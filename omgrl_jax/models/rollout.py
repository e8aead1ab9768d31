"""Rollouts of a policy in a learned world: one scan (Algorithm 1 of the paper)."""

import jax
import jax.numpy as jnp

from omgrl_jax.types import Array, Dynamics, Key, Params, Policy, Transition


def rollout(
    dynamics: Dynamics,
    dynamics_params: Params,
    policy: Policy,
    policy_params: Params,
    key: Key,
    starts: Array,
    horizon: int,
) -> Transition:
    """Rolls a policy out from given states.

    Args:
      dynamics: the world.
      dynamics_params: its parameters.
      policy: the policy.
      policy_params: its parameters.
      key: consumed.
      starts: [B, S] states to start from.
      horizon: number of steps `H`.

    Returns:
      Transitions with leaves [H, B, ...]. A rollout goes on after an end that the world
      knows of: what follows counts for nothing, see `alive_in`.
    """

    def step(states: Array, key: Key) -> tuple[Array, Transition]:
        action_key, world_key = jax.random.split(key)
        actions = policy.sample(policy_params, action_key, states)
        following = dynamics.sample(dynamics_params, world_key, states, actions)
        discount, ones = following.discount, jnp.ones(states.shape[:1])
        transition = Transition(
            state=states,
            action=actions,
            next_state=following.state,
            outcome=following.outcome,
            discount=ones if discount is None else discount,
            uncertainty=jnp.zeros_like(ones),
        )
        return following.state, transition

    def scan_step(
        carry: tuple[Array, Key], _: None
    ) -> tuple[tuple[Array, Key], Transition]:
        states, key = carry
        key, step_key = jax.random.split(key)
        states, transition = step(states, step_key)
        return (states, key), transition

    _, transitions = jax.lax.scan(scan_step, (starts, key), None, length=horizon)
    return transitions


def alive_in(rollouts: Transition) -> Array:
    """1.0 up to the end of each rollout and 0.0 after it, [H, B]."""
    first = jnp.ones((1, rollouts.discount.shape[1]))
    before = jnp.concatenate([first, rollouts.discount[:-1]])
    return jnp.cumprod(before, axis=0)
