"""Safety costs of transitions: which channel or feature each looks at, in raw units."""

from collections.abc import Callable, Sequence

import jax.numpy as jnp

from omgrl_jax.data.scales import Scales
from omgrl_jax.data.space import Space
from omgrl_jax.ops import safety
from omgrl_jax.types import Array, Transition


def make(space: Space, names: Sequence[str]) -> Callable[[Scales, Transition], Array]:
    """Costs as a function of transitions.

    Args:
      space: the task.
      names: of the costs, keys of `ops.safety.COSTS`.

    Returns:
      `(scales, transitions [...]) -> [J, ...]`, 0 or 1 each. What is both a feature of
      the state and a channel is looked at in the state: there a world model draws it
      with its scatter, while of a channel it gives what is to be expected. Of a channel
      the value at the step's end counts, of a feature both ends.

    Raises:
      ValueError: naming a cost that nobody knows, or what it looks at where the task
        does not have it.
    """
    for name in names:
        if name not in safety.COSTS:
            raise ValueError(f"cost '{name}': use one of {', '.join(safety.COSTS)}")
        wanted = safety.COSTS[name].measured
        if wanted not in (*space.channels, *space.names):
            raise ValueError(
                f"cost '{name}' looks at {wanted}, which is neither a channel of this "
                f"dataset ({', '.join(space.channels) or 'it has none'}) nor a feature "
                "of the state"
            )
        if safety.COSTS[name].both_ends and wanted not in space.names:
            raise ValueError(
                f"cost '{name}' compares {wanted} at both ends of a step, of which a "
                "channel tells the end alone: make it a feature of the state"
            )

    def costs(scales: Scales, transitions: Transition) -> Array:
        channels = scales.channel.invert(transitions.outcome)
        before, after = (
            scales.state.invert(x) for x in (transitions.state, transitions.next_state)
        )
        found = []
        for name in names:
            measured = safety.COSTS[name].measured
            if measured in space.names:
                at = space.names.index(measured)
                found.append(safety.cost_of(name, before[..., at], after[..., at]))
            else:
                value = channels[..., space.channels.index(measured)]
                found.append(safety.cost_of(name, value, value))
        empty = jnp.zeros((0, *transitions.discount.shape))
        return jnp.stack(found) if found else empty

    return costs
