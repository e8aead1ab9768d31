"""Many states, several members: each state is dealt to one of them."""

from typing import Any

import jax
import jax.numpy as jnp

from omgrl_jax.models.world_params import WorldParams
from omgrl_jax.types import Array, Key, Step


def deal(
    params: WorldParams, key: Key, states: Array, actions: Array, step: Any
) -> Step:
    """Deals the states to the members at random: one forward pass a state.

    No member gets more than its share, and every state is as likely to meet one member
    as another, also where the batch is no multiple of the members or a single state.

    Args:
      params: leaves [E, ...] of each kind of network.
      key: consumed.
      states: [B, S].
      actions: [B] or [B, P].
      step: `(params, member, key, state [S], action) -> Step`, a draw of one member.

    Returns:
      Leaves [B, ...].
    """
    members = jax.tree.leaves(params.features)[0].shape[0]
    batch = states.shape[0]
    share = -(-batch // members)
    order_key, step_key = jax.random.split(key)
    # Slots that remain free repeat state 0; nobody reads them.
    slots = jax.random.permutation(order_key, members * share)[:batch]
    dealt = jnp.zeros(members * share, jnp.int32)
    dealt = dealt.at[slots].set(jnp.arange(batch, dtype=jnp.int32))
    keys = jax.random.split(step_key, (members, share))

    def member_step(member: tuple, keys: Key, rows: Array) -> Step:
        def one(k: Key, s: Array, a: Array) -> Step:
            return step(params, member, k, s, a)

        return jax.vmap(one)(keys, states[rows], actions[rows])

    rows = dealt.reshape((members, share))
    member = params.features, params.outcomes, params.ends, params.rewards
    out = jax.vmap(member_step)(member, keys, rows)
    return jax.tree.map(
        lambda x: x.reshape((members * share, *x.shape[2:]))[slots], out
    )
