"""A gridworld whose maximum-entropy solutions are computed exactly.

Four by four cells, four actions (up, down, left, right; walls stop a move) and a
reward of the cell entered. With probability `slip` a uniformly drawn action happens in
place of the chosen one. The temperature is 1. Everything here is numpy in float64 and
knows nothing of the package.

Two models of an expert agree where courses start in one cell and moves are
deterministic, and only there:

  causal      the soft-optimal policy, `pi = exp(Q - V)`: it chooses actions;
  trajectory  `p(tau) ~ p_0 prod T exp(r)` (arXiv 2409.13299, Eq. 7): it would choose
              where it starts and where it slips, too.
"""

import numpy as np

SIDE, ACTIONS, HORIZON, DISCOUNT = 4, 4, 8, 0.9
CELLS = SIDE * SIDE
ONE_START = np.eye(CELLS)[5]
ANY_START = np.full(CELLS, 1 / CELLS)
MOVES = np.array([[-1, 0], [1, 0], [0, -1], [0, 1]])
REWARD = np.array(
    [
        [0.8, -0.6, 0.3, 0.6],
        [0.0, -0.9, 0.9, -0.4],
        [0.9, 0.4, -0.8, 0.4],
        [0.3, -0.3, 0.9, 0.8],
    ]
).reshape(-1)


def moves(slip=0.0):
    """[S, A, S] probabilities of the cell entered."""
    cells = np.stack(np.divmod(np.arange(CELLS), SIDE), axis=-1)
    target = np.clip(cells[:, None] + MOVES[None], 0, SIDE - 1)
    chosen = np.eye(CELLS)[target[..., 0] * SIDE + target[..., 1]]
    return (1 - slip) * chosen + slip * chosen.mean(axis=1, keepdims=True)


def logsumexp(x, axis):
    top = x.max(axis=axis, keepdims=True)
    return np.squeeze(top, axis) + np.log(np.exp(x - top).sum(axis=axis))


def causal_policy(rewards, p):
    """Soft-optimal policy [H, S, A] for rewards of the cells entered, [S] or [H, S]."""
    policy, v = np.zeros((HORIZON, CELLS, ACTIONS)), np.zeros(CELLS)
    for t in reversed(range(HORIZON)):
        q = p @ (np.broadcast_to(rewards, (HORIZON, CELLS))[t] + v)
        v = logsumexp(q, axis=1)
        policy[t] = np.exp(q - v[:, None])
    return policy


def policy_of_pairs(rewards, p):
    """Soft-optimal policy [H, S, A] for rewards [H, S, A] of cell and action."""
    policy, v = np.zeros((HORIZON, CELLS, ACTIONS)), np.zeros(CELLS)
    for t in reversed(range(HORIZON)):
        q = rewards[t] + p @ v
        v = logsumexp(q, axis=1)
        policy[t] = np.exp(q - v[:, None])
    return policy


def visits(policy, p, start=ONE_START):
    """[H, S, A] probability of each cell and action at each step."""
    out, now = np.zeros((HORIZON, CELLS, ACTIONS)), start
    for t in range(HORIZON):
        out[t] = now[:, None] * policy[t]
        now = np.einsum("sa,sax->x", out[t], p)
    return out


def entered(policy, p, start=ONE_START):
    """[S] expected number of times that each cell is entered."""
    return np.einsum("hsa,sax->x", visits(policy, p, start), p)


def tilted_counts(factors, p, start=ONE_START):
    """`log sum p_0 prod T factor` and, under that measure, the expected entries [S].

    Args:
      factors: [H, S, A, S] what each step of a trajectory is multiplied by.
      p: [S, A, S].
    """
    kernel = factors * p[None]
    ahead = np.ones((HORIZON + 1, CELLS))
    for t in reversed(range(HORIZON)):
        ahead[t] = np.einsum("sax,x->s", kernel[t], ahead[t + 1])
    now, counts = start, np.zeros(CELLS)
    total = now @ ahead[0]
    for t in range(HORIZON):
        now = np.einsum("s,sax->x", now, kernel[t])
        counts += now * ahead[t + 1]
    return np.log(total), counts / total


def trajectory_counts(reward, p, start=ONE_START):
    """Expected entries [S] under the trajectory model."""
    factors = np.broadcast_to(np.exp(reward), (HORIZON, CELLS, ACTIONS, CELLS))
    return tilted_counts(factors, p, start)[1]


def matching_reward(wanted, counts_of, rate=0.3, steps=800):
    """The centred reward [S] at which `counts_of(reward)` are the entries wanted."""
    reward = np.zeros(CELLS)
    for _ in range(steps):
        reward = reward + rate * (wanted - counts_of(reward))
    return reward - reward.mean()


def discounted_policy(reward, p, iterations=300):
    """Stationary soft-optimal policy [S, A] and its values [S]."""
    v = np.zeros(CELLS)
    for _ in range(iterations):
        q = p @ (reward + DISCOUNT * v)
        v = logsumexp(q, axis=1)
    return np.exp(q - v[:, None]), v


def walk(rng, policy, p, start, walks):
    """Cells [N, H + 1] and actions [N, H] of walks under a policy [H, S, A]."""
    horizon = len(policy)
    cells, actions = (
        np.zeros((walks, horizon + 1), int),
        np.zeros((walks, horizon), int),
    )
    cells[:, 0] = rng.choice(CELLS, size=walks, p=start)
    for t in range(horizon):
        actions[:, t] = _draw(rng, policy[t][cells[:, t]])
        cells[:, t + 1] = _draw(rng, p[cells[:, t], actions[:, t]])
    return cells, actions


def _draw(rng, probabilities):
    """One draw from each row."""
    reached = rng.random(len(probabilities))[:, None] < probabilities.cumsum(axis=1)
    return reached.argmax(axis=1)


def without_shaping(found, truth, p):
    """`found` [S, A] less the potential shaping that brings it closest to `truth`."""
    shaping = (DISCOUNT * p - np.eye(CELLS)[:, None]).reshape(-1, CELLS)
    gap = (found - truth).reshape(-1)
    return found - (shaping @ np.linalg.lstsq(shaping, gap)[0]).reshape(found.shape)


def divergence(expert, policy, weights):
    """Mean KL(expert || policy) in nats over cells weighted by `weights` [..., S]."""
    kl = (expert * np.log(expert / policy)).sum(axis=-1)
    return np.sum(weights * kl) / np.sum(weights)
