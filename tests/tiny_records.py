"""The tiny decision process as records: tables, one-hot states and what is optimal."""

import jax
import jax.numpy as jnp
import numpy as np
import tiny_mdp

from omgrl_jax.data.records import Records
from omgrl_jax.data.scales import Scales, Standardiser
from omgrl_jax.data.space import Space
from omgrl_jax.learners import dyna
from omgrl_jax.models.world import WorldParams

SPACE = Space(("a", "b", "c"), (0, 1, 2), (0, 1, 2), (), ("reward",), 2, None, 0)
# The episode ends after action 1 in state 1: without that, state 0 would follow.
GOES_ON = np.array([[1.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
# How often each pair was recorded: mu(a | s) is (.75, .25), (.2, .8), (.5, .5).
COUNTS = np.array([[3, 1], [1, 4], [2, 2]])
MU = COUNTS / COUNTS.sum(axis=1, keepdims=True)


def table(values):
    """Parameters of a linear network that looks [S, A] values up."""
    values = jnp.asarray(values, jnp.float32)
    return {"params": {"Dense_0": {"kernel": values, "bias": jnp.zeros(2)}}}


def log_table(params, states):
    return jax.nn.log_softmax(states @ params["params"]["Dense_0"]["kernel"])


def data(counts=COUNTS, mu=MU, goes_on=GOES_ON):
    """Each pair as often as it counts, two rows for each transition."""
    s, a = np.divmod(np.repeat(np.arange(6), np.ravel(counts)), 2)
    rows = np.eye(3)[np.stack([s, tiny_mdp.NEXT[s, a]], axis=1)].reshape(-1, 3)

    def spread(values, dtype=jnp.float32):
        return jnp.asarray(np.repeat(values, 2, axis=0), dtype)

    train = Records(
        states=jnp.asarray(rows, jnp.float32),
        actions=spread(a, jnp.int32),
        amounts=spread(0.0 * a),
        outcome=spread(tiny_mdp.REWARD[s, a][:, None]),
        measured=spread(a[:, None] >= 0, bool),
        censored=spread(a[:, None] < 0, bool),
        discount=spread(goes_on[s, a]),
        stay=spread(np.arange(s.size), jnp.int32),
        transitions=jnp.arange(0, 2 * s.size, 2),
        windows=jnp.arange(0, 2 * s.size, 2),
    )
    same = Standardiser(jnp.zeros(1), jnp.ones(1), jnp.zeros(1, bool))
    world = WorldParams(None, None, Scales(same, same, jnp.zeros(2)), None, None)
    return dyna.Data(train, world, table(np.log(mu)))


def optimum(state_value):
    """Iterates Q = R + discount V(s'): action values [S, A], state values [S]."""
    q = np.zeros((3, 2))
    for _ in range(300):
        v = state_value(q)
        q = tiny_mdp.REWARD + tiny_mdp.DISCOUNT * GOES_ON * v[tiny_mdp.NEXT]
    return q, v


def trained(algorithm, given, seed=0):
    """The state after one epoch, the policy [S, A], and the epoch's metrics."""

    @jax.jit
    def run(key, given):
        init_key, key = jax.random.split(key)
        state, metrics = algorithm.update(algorithm.init(init_key, given), key, given)
        return state, jnp.exp(algorithm.log_probs(state, jnp.eye(3))), metrics

    return run(jax.random.key(seed), given)


def looked_up(params):
    """[..., S, A] of linear networks, or [..., S, 1]."""
    dense = params["params"]["Dense_0"]
    return np.asarray(dense["kernel"]) + np.asarray(dense["bias"])[..., None, :]


def expectile_of(q, tau):
    """[S] for two actions: tau p_high (high - v) = (1 - tau) p_low (v - low)."""
    high = q.argmax(axis=1)
    up = tau * MU[np.arange(3), high]
    down = (1 - tau) * MU[np.arange(3), 1 - high]
    return (up * q.max(axis=1) + down * q.min(axis=1)) / (up + down)
