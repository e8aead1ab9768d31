"""Gymnasium's CartPole-v1, many at once, and a controller that keeps the pole upright.

The controller is a linear quadratic regulator. Near the upright position, with `F` the
force on the cart, `M` the mass of cart and pole, `m` that of the pole and `l` half its
length, Gymnasium's equations of motion become

    theta'' = (g theta - F / M) / (l (4/3 - m / M))
    x''     = F / M - m l theta'' / M

and its Euler steps of 0.02 s make a discrete linear system from them, for which the
Riccati equation gives the force `-K s`. The task allows a push of fixed size to either
side: the controller pushes to the side of that force, with a hand that is unsure where
the force is small. A sure hand would soon swing the pole in a short cycle, and every
20th state of such an episode is nearly the same one. A hand that is unsure below 1 N is
not enough: each push changes the cart's speed by almost exactly 0.195 m/s, so that
after an even number of pushes it differs from its start by multiples of 0.39 m/s, and
an expert who never goes that far shows one speed at every even step. Below 2 N it does:
of 100 episodes thinned from an even step, three (below 1 N: 54) lose two fifths of the
spread of a feature.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from omgrl_jax.runtime.errors import RunError

NAME = "CartPole-v1"
LIMIT = 500  # steps after which an episode is cut
FEATURES = (
    ("x", "m"),
    ("x_speed", "m/s"),
    ("theta", "rad"),
    ("theta_speed", "rad/s"),
)
ACTIONS = ("left", "right")
FORCE_COST = 0.01
UNSURE_BELOW = 2.0  # N, a fifth of a push

STEP = 0.02  # seconds
_GRAVITY, _CART, _POLE, _HALF_LENGTH = 9.8, 1.0, 0.1, 0.5

Act = Callable[[np.ndarray], np.ndarray]


class Episode(NamedTuple):
    """One episode.

    Attributes:
      observations: [T + 1, 4] float32, the last state included; units in `FEATURES`.
      actions: [T] int32, 0 pushes to the left and 1 to the right.
      rewards: [T], 1 for each step.
      fell: whether the pole fell or the cart left the track; False: the time was up.
    """

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    fell: bool


def expert(observations: np.ndarray) -> np.ndarray:
    """The controller's policy: a push to the right with odds of exp(force / 2 N).

    Args:
      observations: [N, 4].

    Returns:
      [N, 2] probabilities of the actions.
    """
    force = -observations.astype(np.float64) @ gains()
    right = 0.5 * (1.0 + np.tanh(0.5 * force / UNSURE_BELOW))
    return np.stack([1.0 - right, right], axis=1)


@functools.cache
def gains() -> np.ndarray:
    """Solves the discrete Riccati equation of the linearised system: `K`, [4].

    Position, angle and their speeds cost their squares, and so does the force in units
    of 10 N, the size of a push.
    """
    move, push = linearised()
    cost, gain = np.eye(4), np.zeros(4)
    for _ in range(2000):
        gain = push @ cost @ move / (FORCE_COST + push @ cost @ push)
        # In Joseph's form the cost stays symmetric: here rounding would grow otherwise.
        closed = move - np.outer(push, gain)
        cost = np.eye(4) + closed.T @ cost @ closed
        cost += FORCE_COST * np.outer(gain, gain)
    return gain


def linearised() -> tuple[np.ndarray, np.ndarray]:
    """`s' = move s + push F` near the upright position: [4, 4] and [4]."""
    total = _CART + _POLE
    inertia = _HALF_LENGTH * (4 / 3 - _POLE / total)
    coupling = _POLE * _HALF_LENGTH / total
    turn = np.array([0, 0, _GRAVITY / inertia, 0])
    zero = np.zeros(4)
    rates = np.stack([[0, 1, 0, 0], zero - coupling * turn, [0, 0, 0, 1], turn])
    turned = -1.0 / (total * inertia)
    pushed = np.array([0, 1 / total - coupling * turned, 0, turned])
    return np.eye(4) + STEP * rates, STEP * pushed


def play(act: Act, seeds: Sequence[int]) -> list[Episode]:
    """Plays one episode for each seed, side by side in Gymnasium's own environments.

    Args:
      act: `(observations [N, 4]) -> actions [N]`; also asked, and not listened to,
        where an episode is over.
      seeds: `N` seeds that decide the first states.

    Returns:
      The episodes.

    Raises:
      RunError: if Gymnasium is not installed.
    """
    environments = _environments(len(seeds))
    seen, _ = environments.reset(seed=[int(seed) for seed in seeds])
    observations, actions, rewards = [seen.copy()], [], []
    lengths = np.full(len(seeds), LIMIT)
    fell = np.zeros(len(seeds), bool)
    running = np.ones(len(seeds), bool)
    while running.any():
        chosen = np.asarray(act(seen), np.int32)
        seen, reward, terminated, truncated, _ = environments.step(chosen)
        observations.append(seen.copy())
        actions.append(chosen)
        rewards.append(reward)
        over = running & (terminated | truncated)
        lengths[over], fell[over] = len(actions), terminated[over]
        running &= ~over
    environments.close()
    table = [np.stack(x, axis=1) for x in (observations, actions, rewards)]
    return [
        Episode(table[0][i, : t + 1], table[1][i, :t], table[2][i, :t], bool(fell[i]))
        for i, t in enumerate(lengths)
    ]


def _environments(count: int) -> Any:
    try:
        import gymnasium
    except ImportError as error:
        raise RunError(
            "CartPole needs an optional package; install it with "
            "pip install 'omgrl_jax[benchmarks]'"
        ) from error
    return gymnasium.make_vec(NAME, num_envs=count, vectorization_mode="sync")
