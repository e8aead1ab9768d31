"""A small algorithm with everything that makes resuming hard, and a run to kill.

Its state holds a typed key, an Adam state, a ring buffer that samples come from, a
target that shares its arrays with the parameters, the data themselves, and a counter
whose first value is a Python number.
"""

import collections
import itertools
import os
import signal
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax

from omgrl_jax.runtime import checkpoint, storage, train
from omgrl_jax.types import Algorithm, Policy

WIDTH = 16
CAPACITY = 12
DIRECTORY_EVENTS = {"os.mkdir", "os.rename", "os.remove", "os.rmdir"}


def make(bad_update=None):
    """Returns the algorithm and a counter of the traces of its functions.

    With `bad_update`, the metric `toy/loss` is NaN from that update on.
    """
    traces = collections.Counter()
    optimizer = optax.adam(1e-2)

    def init(key, data):
        traces["init"] += 1
        weight_key, state_key = jax.random.split(key)
        params = {"weight": jax.random.normal(weight_key, (data.shape[1],))}
        return {
            "params": params,
            "target": params,
            "adam": optimizer.init(params),
            "buffer": jnp.zeros((CAPACITY, data.shape[1])),
            "key": state_key,
            "count": 0,
            "data": data,
        }

    def update(state, key, data):
        traces["update"] += 1
        next_key, noise_key = jax.random.split(state["key"])
        row_key, slot_key = jax.random.split(key)
        row = data[jax.random.randint(row_key, (), 0, data.shape[0])]
        buffer = state["buffer"].at[state["count"] % CAPACITY].set(row)
        batch = buffer[jax.random.randint(slot_key, (8,), 0, CAPACITY)]
        noise = jax.random.normal(noise_key, (8,))

        def loss_of(params):
            return jnp.mean((jnp.tanh(batch @ params["weight"]) - noise) ** 2)

        loss, gradient = jax.value_and_grad(loss_of)(state["params"])
        change, adam = optimizer.update(gradient, state["adam"])
        params = optax.apply_updates(state["params"], change)
        count = state["count"] + jnp.int32(1)
        if bad_update is not None:
            loss = jnp.where(count >= bad_update, jnp.nan, loss)
        state = {
            "params": params,
            "target": optax.incremental_update(params, state["target"], 0.1),
            "adam": adam,
            "buffer": buffer,
            "key": next_key,
            "count": count,
            "data": state["data"],
        }
        return state, {"toy/loss": loss, "toy/norm": optax.tree.norm(params)}

    def log_probs(params, observations):
        return jax.nn.log_softmax(observations * params["weight"])

    policy = Policy(log_probs)
    return Algorithm(init, update, policy, lambda state: state["params"]), traces


def make_data():
    """Returns [20, WIDTH] fixed rows."""
    return jnp.asarray(np.random.default_rng(0).normal(size=(20, WIDTH)), jnp.float32)


def make_key(members):
    """Returns one key, or [members] keys of a sweep."""
    key = jax.random.key(7)
    return jax.random.split(key, members) if members else key


def as_arrays(tree):
    """Returns the leaves by path as numpy arrays, typed keys as their raw data."""

    def raw(leaf):
        is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        return np.asarray(jax.random.key_data(leaf) if is_key else leaf)

    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {
        jax.tree_util.keystr(path, simple=True, separator="."): raw(leaf)
        for path, leaf in leaves
    }


def evaluate(step, state):
    """Returns what a callback would: a number that follows from the state."""
    return {"toy/mean": state["params"]["weight"].mean(axis=-1) + step}


def main(directory, output, members):
    """Trains to the end or to the kill, and writes the result to `output`."""
    with checkpoint.Checkpoints(directory, {"members": members}) as checkpoints:
        result = train.train(
            make()[0],
            make_key(members),
            make_data(),
            num_updates=45,
            interval=3,
            checkpoints=checkpoints,
            callback=evaluate,
            progress=False,
        )
    storage.atomic_savez(output, **as_arrays(result))


def kill_at_file_event(number):
    """Has this process killed just before its `number`-th change of a directory."""
    events = itertools.count(1)

    def hook(event, _):
        if event in DIRECTORY_EVENTS and next(events) == number:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


if __name__ == "__main__":
    import conftest  # noqa: F401  (the same strict settings as in the tests)

    if len(sys.argv) > 4:
        kill_at_file_event(int(sys.argv[4]))
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
