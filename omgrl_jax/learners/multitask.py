"""One trunk with a head for every task: values, a policy, and what comes next.

The auxiliary heads foretell the next value of measured channels (a blood pressure, a
lactate) for every action, as the action values do. A head that saw the state alone
would learn what usually follows under the clinicians' doses; one for each action has to
learn what the doses change, which is what the trunk is wanted for.
"""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from omgrl_jax import networks
from omgrl_jax.learners.critic import TWINS
from omgrl_jax.types import Array, Key, Params, Policy


class Heads(NamedTuple):
    """What the heads say of states [..., S].

    Attributes:
      q: [2, ..., A] action values, two copies.
      v: [...] state values.
      log_probs: [..., A] of the policy.
      following: [..., A, K] standardised next value of each auxiliary channel.
    """

    q: Array
    v: Array
    log_probs: Array
    following: Array


class Network(NamedTuple):
    """The trunk with its heads.

    Attributes:
      init: `(key) -> params`.
      heads: `(params, states [..., S], scale [], key=None) -> Heads`; `scale` is the
        unit of the values that come out: rewards of any size are then outputs of about
        one. With a key (consumed) units are dropped at random.
      policy: the policy head, without dropout; the same object for equal networks.
    """

    init: Callable[[Key], Params]
    heads: Callable[..., Heads]
    policy: Policy


class _Module(nn.Module):
    hidden: Sequence[int]
    num_actions: int
    channels: int
    dropout: float

    # Names keep a head's first parameters the same whichever other heads there are.
    @nn.compact
    def __call__(self, states: Array, deterministic: bool = True) -> Heads:
        trunk = networks.Trunk(self.hidden, self.dropout, name="trunk")
        x = trunk(states, deterministic)
        lead = states.shape[:-1]
        q = nn.Dense(TWINS * self.num_actions, name="q")(x)
        logits = nn.Dense(self.num_actions, name="policy")(x)
        following = jnp.zeros((*lead, self.num_actions, 0))
        if self.channels:
            size = self.num_actions * self.channels
            flat = nn.Dense(size, name="auxiliary")(x)
            following = flat.reshape((*lead, self.num_actions, self.channels))
        return Heads(
            q=jnp.moveaxis(q.reshape((*lead, TWINS, self.num_actions)), -2, 0),
            v=nn.Dense(1, name="v")(x)[..., 0],
            log_probs=jax.nn.log_softmax(logits, axis=-1),
            following=following,
        )


@functools.cache
def make(
    hidden: tuple[int, ...],
    state_dim: int,
    num_actions: int,
    channels: int,
    dropout: float,
) -> Network:
    """Builds the network.

    Args:
      hidden: widths of the trunk's layers; none makes every head linear.
      state_dim: `S`.
      num_actions: `A`.
      channels: number of auxiliary channels `K`; 0 for no such heads.
      dropout: share of units dropped.

    Returns:
      The network; the same object for the same arguments.
    """
    module = _Module(hidden, num_actions, channels, dropout)

    def init(key: Key) -> Params:
        return module.init(key, jnp.zeros(state_dim))

    def heads(
        params: Params, states: Array, scale: Array, key: Key | None = None
    ) -> Heads:
        rngs = None if key is None else {"dropout": key}
        found: Heads = module.apply(  # pyright: ignore[reportAssignmentType]
            params, states, deterministic=key is None, rngs=rngs
        )
        return found._replace(q=scale * found.q, v=scale * found.v)

    def log_probs(params: Params, states: Array) -> Array:
        return heads(params, states, jnp.float32(1.0)).log_probs

    return Network(init, heads, Policy(log_probs))
