"""A decision process small enough to enumerate: 3 states, 2 actions, 3 steps.

Starts are stochastic and moves deterministic, so that the maximum-entropy trajectory
distribution `p_0 prod exp(r)` and its partition function are finite sums. Everything
here is numpy in float64 and knows nothing of the package.
"""

import itertools

import numpy as np

STATES, ACTIONS, HORIZON = 3, 2, 3
NEXT = np.array([[1, 2], [2, 0], [0, 1]])
# Integers over 4, so that a pool can hold starts in exact proportion.
START_COUNTS = np.array([2, 1, 1])
START = START_COUNTS / START_COUNTS.sum()
DISCOUNT = 0.8
REWARD = np.array([[0.5, -1.0], [1.5, 0.2], [-0.7, 0.9]])
# Samplers, by how often they take either action.
EVEN, TILTED = np.array([1, 1]), np.array([1, 3])


def trajectories():
    """Every trajectory once: states and actions [24, H], start probabilities [24]."""
    states, actions, start = [], [], []
    for s_0 in range(STATES):
        for sequence in itertools.product(range(ACTIONS), repeat=HORIZON):
            s, visited = s_0, []
            for a in sequence:
                visited.append(s)
                s = NEXT[s, a]
            states.append(visited)
            actions.append(sequence)
            start.append(START[s_0])
    return np.array(states), np.array(actions), np.array(start)


def features(states, actions):
    """[..., S * A] one-hot of every step."""
    return np.eye(STATES * ACTIONS)[states * ACTIONS + actions]


def exact_partition(table):
    """Log Z and its gradient, the expected step counts [S, A] under exp(reward)."""
    states, actions, start = trajectories()
    returns = table[states, actions].sum(axis=1)
    z = np.sum(start * np.exp(returns))
    counts = np.zeros((STATES, ACTIONS))
    for p, visited, sequence in zip(
        start * np.exp(returns) / z, states, actions, strict=True
    ):
        for s, a in zip(visited, sequence, strict=True):
            counts[s, a] += p
    return np.log(z), counts


def pool(action_counts):
    """Trajectories in exact proportion to a sampler: states and actions [M, H].

    `action_counts` [A] are integers: the sampler takes action `a` with probability
    `action_counts[a] / sum` everywhere, and each trajectory stands in the pool as often
    as it would on average.
    """
    states, actions, start = trajectories()
    times = np.round(start * START_COUNTS.sum()).astype(int) * np.prod(
        np.asarray(action_counts)[actions], axis=1
    )
    return np.repeat(states, times, axis=0), np.repeat(actions, times, axis=0)


def soft_optimum(temperature, iterations=500):
    """Soft value iteration: optimal values [S, A] and policy [S, A]."""
    q = np.zeros((STATES, ACTIONS))
    for _ in range(iterations):
        v = temperature * np.log(np.exp(q / temperature).sum(axis=1))
        q = REWARD + DISCOUNT * v[NEXT]
    policy = np.exp(q / temperature)
    return q, policy / policy.sum(axis=1, keepdims=True)
