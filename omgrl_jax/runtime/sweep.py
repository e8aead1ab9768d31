"""Maps a function of one member (a seed) over many, in the way the backend likes.

Trainers are written for one member. Which outer map is fastest depends on the
backend: batched members fill an accelerator, whereas on a CPU they lose to members
that run one after the other, split over the host devices.

A member of a sweep computes what the single run computes: bitwise with "map" and
"shard" where XLA compiles the same loop body, and up to floating-point rounding with
"vmap", where products are batched and summed in another order.
"""

from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec, Sharding

Strategy = Literal["vmap", "map", "shard"]
STRATEGIES = ("vmap", "map", "shard")

_AXIS = "member"


def choose() -> Strategy:
    """Returns the map that suits the default backend and its number of devices."""
    if jax.default_backend() != "cpu":
        return "vmap"
    return "shard" if jax.local_device_count() > 1 else "map"


def sweep(
    function: Callable[[Any, Any], Any],
    members: Any,
    data: Any,
    strategy: Strategy | None = None,
) -> Any:
    """Applies `function(member, data)` to every member.

    Call it inside `jax.jit`, or let it be traced by each call.

    Args:
      function: pure function of one member and the shared data.
      members: pytree whose leaves carry the N members on their first axis.
      data: pytree handed to every call as it stands.
      strategy: "vmap", "map" (`lax.map`), or "shard" (`lax.map` on each of the host
        devices); None chooses by backend.

    Returns:
      The function's output with the members on the first axis of every leaf.

    Raises:
      ValueError: if the strategy is unknown, or the members disagree in number.
    """
    strategy = strategy or choose()
    count = size(members)
    if strategy == "vmap":
        return jax.vmap(function, in_axes=(0, None))(members, data)
    if strategy == "map":
        return _map(function, members, data)
    if strategy == "shard":
        return _shard(function, members, data, count)
    raise ValueError(f"Unknown strategy {strategy!r}; choose one of {STRATEGIES}.")


def size(members: Any) -> int:
    """Returns the number of members, the common length of all first axes.

    Args:
      members: pytree of arrays [N, ...].

    Raises:
      ValueError: if there is no member, or the leaves disagree.
    """
    lengths = {jnp.shape(leaf)[:1] for leaf in jax.tree.leaves(members)}
    if len(lengths) != 1 or lengths == {()} or lengths == {(0,)}:
        raise ValueError(
            "Every leaf of the members must carry the same positive number of members "
            f"on its first axis; found first axes {sorted(lengths)}."
        )
    return lengths.pop()[0]


def member_sharding(count: int) -> Sharding | None:
    """Returns where `count` members best live between calls, or None for one place.

    Members that divide evenly over the host devices stay on their own device, which
    saves a copy of the state at each call. XLA cannot place an uneven number so;
    those stay together and are split inside the call.

    Args:
      count: number of members.
    """
    if choose() != "shard":
        return None
    mesh = _mesh(count)
    spec = PartitionSpec(_AXIS) if count % mesh.size == 0 else PartitionSpec()
    return NamedSharding(mesh, spec)


def data_sharding(count: int) -> Sharding | None:
    """Returns where data shared by `count` members lives, or None for one place.

    Args:
      count: number of members.
    """
    if choose() != "shard":
        return None
    return NamedSharding(_mesh(count), PartitionSpec())


def _map(function: Callable[[Any, Any], Any], members: Any, data: Any) -> Any:
    return jax.lax.map(lambda member: function(member, data), members)


def _shard(
    function: Callable[[Any, Any], Any], members: Any, data: Any, count: int
) -> Any:
    mesh = _mesh(count)
    padded = -(-count // mesh.size) * mesh.size
    if padded != count:
        # The last device repeats members whose results are cut off again.
        index = np.arange(padded) % count
        members = jax.tree.map(lambda leaf: leaf[index], members)
    split = jax.shard_map(
        lambda shard, shared: _map(function, shard, shared),
        mesh=mesh,
        in_specs=(PartitionSpec(_AXIS), PartitionSpec()),
        out_specs=PartitionSpec(_AXIS),
        # The check refuses loops whose carry starts from a constant.
        check_vma=False,
    )
    results = split(members, data)
    if padded == count:
        return results
    return jax.tree.map(lambda leaf: leaf[:count], results)


def _mesh(count: int) -> Mesh:
    # Fewer members than devices leave devices idle rather than repeat members.
    return Mesh(np.asarray(jax.local_devices()[:count]), (_AXIS,))
