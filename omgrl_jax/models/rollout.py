"""Rollouts of a policy in a learned world: one scan (Algorithm 1 of the paper).

Random numbers of all steps are drawn at once where policy and world allow it: step by
step, with few states, they would take longer than the networks. They take about twice
the memory of the transitions.
"""

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
    count, ones = starts.shape[0], jnp.ones(starts.shape[:1])
    keys = jax.vmap(jax.random.split)(jax.random.split(key, horizon))
    chance, act = _acting(policy, policy_params, starts)
    noise, move = _moving(dynamics, dynamics_params)

    def step(states: Array, drawn: tuple[Any, Any]) -> tuple[Array, Transition]:
        actions = act(drawn[0], states)
        following = move(drawn[1], states, actions)
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

    drawn = (
        jax.vmap(lambda key: chance(key, count))(keys[:, 0]),
        jax.vmap(lambda key: noise(key, count))(keys[:, 1]),
    )
    _, transitions = jax.lax.scan(step, starts, drawn)
    return transitions


def _acting(policy: Policy, params: Params, starts: Array) -> tuple[Callable, Callable]:
    """`(key, B) -> random numbers`, `(numbers, states) -> actions`."""
    if policy.draw is not None:
        return _key_alone, lambda key, states: policy.sample(params, key, states)
    actions = jax.eval_shape(policy.log_probs, params, starts).shape[-1]
    return (
        lambda key, count: jax.random.gumbel(key, (count, actions)),
        lambda gumbel, states: policy.choose(params, gumbel, states),
    )


def _moving(dynamics: Dynamics, params: Params) -> tuple[Callable, Callable]:
    """`(key, B) -> random numbers`, `(numbers, states, actions) -> Step`."""
    draw, move = dynamics.noise, dynamics.moved
    if draw is None or move is None:
        return _key_alone, lambda *given: dynamics.sample(params, *given)
    return (
        lambda key, count: draw(params, key, count),
        lambda *given: move(params, *given),
    )


def _key_alone(key: Key, count: int) -> Key:
    """Of what draws as it goes, the key is all that can be given to it."""
    del count
    return key


def alive_in(rollouts: Transition) -> Array:
    """1.0 up to the end of each rollout and 0.0 after it, [H, B]."""
    first = jnp.ones((1, rollouts.discount.shape[1]))
    before = jnp.concatenate([first, rollouts.discount[:-1]])
    return jnp.cumprod(before, axis=0)
