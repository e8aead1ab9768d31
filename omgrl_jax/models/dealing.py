"""Many states, several members: each state is dealt to one of them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from omgrl_jax.models.world_params import WorldParams
from omgrl_jax.types import Array, Key, Step


class Deal(NamedTuple):
    """Who is dealt which states, and with which chance.

    Attributes:
      rows: [E, places of a member] the state in each place; those that remain free
        repeat state 0, and nobody reads them.
      slots: [B] the place of each state, of all places of all members.
      noise: random numbers of each place, leaves [E, places of a member, ...].
    """

    rows: Array
    slots: Array
    noise: Any


def draw(
    params: WorldParams, key: Key, batch: int, noise: Callable[[Key], Any]
) -> Deal:
    """Deals `batch` states at random, no member more than its share.

    Every state is as likely to meet one member as another, also where the batch is no
    multiple of the members or a single state.

    Args:
      params: leaves [E, ...] of each kind of network.
      key: consumed.
      batch: number of states.
      noise: `(key) -> ` random numbers of one state's step.
    """
    members = jax.tree.leaves(params.features)[0].shape[0]
    share = -(-batch // members)
    order_key, step_key = jax.random.split(key)
    slots = jax.random.permutation(order_key, members * share)[:batch]
    rows = jnp.zeros(members * share, jnp.int32)
    rows = rows.at[slots].set(jnp.arange(batch, dtype=jnp.int32))
    keys = jax.random.split(step_key, (members, share))
    return Deal(rows.reshape(members, share), slots, jax.vmap(jax.vmap(noise))(keys))


def play(
    params: WorldParams, deal: Deal, states: Array, actions: Array, step: Any
) -> Step:
    """Every state's step by the member it was dealt to: one forward pass a state.

    Args:
      params: leaves [E, ...] of each kind of network.
      deal: of `draw`.
      states: [B, S].
      actions: [B] or [B, P].
      step: `(params, member, noise, state [S], action) -> Step`, a step of one member.

    Returns:
      Leaves [B, ...].
    """

    def member_step(member: tuple, noise: Any, rows: Array) -> Step:
        def one(noise: Any, state: Array, action: Array) -> Step:
            return step(params, member, noise, state, action)

        return jax.vmap(one)(noise, states[rows], actions[rows])

    member = params.features, params.outcomes, params.ends, params.rewards
    out = jax.vmap(member_step)(member, deal.noise, deal.rows)
    # Not -1: without channels a leaf has no element from which to infer it.
    places = deal.rows.size
    return jax.tree.map(lambda x: x.reshape(places, *x.shape[2:])[deal.slots], out)
