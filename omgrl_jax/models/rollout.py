"""Rollouts of a policy in a learned world: one scan (Algorithm 1 of the paper).

Random numbers of all steps are drawn at once where policy and world allow it: step by
step, with few states, they would take longer than the networks. They take the memory
of one number for each feature, component, channel and action of each step.
"""

import functools
from collections.abc import Callable
from typing import Any

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
    ones = jnp.ones(starts.shape[:1])
    chance, act = _acting(policy, policy_params, key, starts)
    noise, move = _moving(dynamics, dynamics_params, key, starts)

    def step(states: Array, numbers: tuple[Any, Any]) -> tuple[Array, Transition]:
        actions = act(numbers[0], states)
        following = move(numbers[1], states, actions)
        discount = following.discount
        transition = Transition(
            state=states,
            action=actions,
            next_state=following.state,
            outcome=following.outcome,
            discount=ones if discount is None else discount,
            uncertainty=jnp.zeros_like(ones),
        )
        return following.state, transition

    action_key, world_key = jax.random.split(key)
    numbers = (
        jax.vmap(chance)(jax.random.split(action_key, horizon)),
        jax.vmap(noise)(jax.random.split(world_key, horizon)),
    )
    _, transitions = jax.lax.scan(step, starts, numbers)
    return transitions


def _acting(
    policy: Policy, params: Params, key: Key, starts: Array
) -> tuple[Callable, Callable]:
    """`(key) -> random numbers of a step`, `(numbers, states) -> actions`."""
    if policy.draw is not None:
        return _from_key(functools.partial(policy.sample, params), key)
    shape = jax.eval_shape(policy.log_probs, params, starts).shape

    def act(gumbel: Array, states: Array) -> Array:
        # The Gumbel trick, as the policy's own draw has it.
        chosen = jnp.argmax(policy.log_probs(params, states) + gumbel, axis=-1)
        return chosen.astype(jnp.int32)

    return lambda key: jax.random.gumbel(key, shape), act


def _moving(
    dynamics: Dynamics, params: Params, key: Key, starts: Array
) -> tuple[Callable, Callable]:
    """`(key) -> random numbers of a step`, `(numbers, states, actions) -> Step`."""
    if dynamics.ahead is None:
        return _from_key(functools.partial(dynamics.sample, params), key)
    ahead, count = dynamics.ahead, starts.shape[0]
    return (
        lambda key: ahead.draw(params, key, count),
        functools.partial(ahead.step, params),
    )


def _from_key(draw: Callable, key: Key) -> tuple[Callable, Callable]:
    """For what draws as it goes: the words of a key are all that can be drawn ahead."""
    kind = jax.random.key_impl(key)

    # Rollouts that are batched move the axes of the words. In keys the check for those
    # used twice would not follow that.
    def step(words: Array, *given: Any) -> Any:
        return draw(jax.random.wrap_key_data(words, impl=kind), *given)

    return jax.random.key_data, step


def alive_in(rollouts: Transition) -> Array:
    """1.0 up to the end of each rollout and 0.0 after it, [H, B]."""
    first = jnp.ones((1, rollouts.discount.shape[1]))
    before = jnp.concatenate([first, rollouts.discount[:-1]])
    return jnp.cumprod(before, axis=0)
