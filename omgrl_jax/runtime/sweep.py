"""Maps a function of one member (a seed) over many, in the way the backend likes.

Trainers are written for one member. Which outer map is fastest depends on the
backend: batched members fill an accelerator, whereas on a CPU they lose to members
that run one after the other, split over the host devices. Several local devices of
either kind share the members.

A member of a sweep computes what the single run computes: bitwise with "map" and
"shard" where XLA compiles the same loop body, and up to floating-point rounding with
"vmap" and "shard_vmap", where products are batched and summed in another order.
"""

from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec, Sharding

Strategy = Literal["vmap", "map", "shard", "shard_vmap"]
STRATEGIES = ("vmap", "map", "shard", "shard_vmap")

_AXIS = "member"


def choose() -> Strategy:
    """Returns the map that suits the default backend and its number of devices."""
    several = jax.local_device_count() > 1
    if jax.default_backend() != "cpu":
        return "shard_vmap" if several else "vmap"
    return "shard" if several else "map"


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
      strategy: "vmap", "map" (`lax.map`), or either on each of the local devices with
        a share of the members: "shard_vmap" and "shard"; None chooses by backend.

    Returns:
      The function's output with the members on the first axis of every leaf.

    Raises:
      ValueError: if the strategy is unknown, or the members disagree in number.
    """
    strategy = strategy or choose()
    count = size(members)
    if strategy == "vmap":
        return _batch(function, members, data)
    if strategy == "map":
        return _map(function, members, data)
    if strategy == "shard":
        return _shard(_map, function, members, data, count)
    if strategy == "shard_vmap":
        return _shard(_batch, function, members, data, count)
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

    Members that divide evenly over the local devices stay on their own device, which
    saves a copy of the state at each call. XLA cannot place an uneven number so;
    those stay together and are split inside the call.

    Args:
      count: number of members.
    """
    if not _shares():
        return None
    mesh = _mesh(count)
    spec = PartitionSpec(_AXIS) if count % mesh.size == 0 else PartitionSpec()
    return NamedSharding(mesh, spec)


def data_sharding(count: int) -> Sharding | None:
    """Returns where data shared by `count` members lives, or None for one place.

    Args:
      count: number of members.
    """
    if not _shares():
        return None
    return NamedSharding(_mesh(count), PartitionSpec())


def _shares() -> bool:
    """Whether the members are shared by several devices."""
    return choose() in ("shard", "shard_vmap")


def _batch(function: Callable[[Any, Any], Any], members: Any, data: Any) -> Any:
    return jax.vmap(function, in_axes=(0, None))(members, data)


def _map(function: Callable[[Any, Any], Any], members: Any, data: Any) -> Any:
    return jax.lax.map(lambda member: function(member, data), members)


def _if_wanted(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """The function of pairs (member, whether its result is wanted)."""
    # Compiled as one, so that asking for its shapes does not trace it a second time.
    function = jax.jit(function)

    def either(given: tuple[Any, jax.Array], data: Any) -> Any:
        member, wanted = given
        shapes = jax.eval_shape(function, member, data)
        return jax.lax.cond(
            wanted,
            lambda: function(member, data),
            lambda: jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes),
        )

    return either


def _shard(
    on_device: Callable[[Callable[[Any, Any], Any], Any, Any], Any],
    function: Callable[[Any, Any], Any],
    members: Any,
    data: Any,
    count: int,
) -> Any:
    mesh = _mesh(count)
    padded = -(-count // mesh.size) * mesh.size
    if padded != count:
        # The last devices are given members again, whose results are cut off.
        index = np.arange(padded)
        members = jax.tree.map(lambda leaf: leaf[index % count], members)
        if on_device is _map:
            # One after the other, they need not be computed: a device that has no other
            # member leaves its cores to the others.
            members, function = (members, index < count), _if_wanted(function)
    split = jax.shard_map(
        lambda shard, shared: on_device(function, shard, shared),
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
