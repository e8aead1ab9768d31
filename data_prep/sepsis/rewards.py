"""The recorded reward of each step, by the settings of `omgrl_jax.ops.organs`.

* `sofa`: for SOFA points that fell or rose within the step, and at the stay's last step
  for survival or death.
* `terminal`: the last of these alone.
* `negative_sofa`: minus the SOFA score of the next row; survival does not enter.

With the first two the outcome stands for everything after the last step, so every stay
is terminal at its end: to go on from its last state would count what follows twice.
With the third only a stay that ends in death is.
"""

import numpy as np

from data_prep.clock import Clock
from omgrl_jax.ops import organs


def recorded(
    kind: str, score: np.ndarray, died: np.ndarray, clock: Clock
) -> np.ndarray:
    """Rewards of all steps.

    Args:
      kind: one of `organs.REWARDS`.
      score: [R] SOFA score of each row.
      died: [N] bool.
      clock: the rows.

    Returns:
      [M] rewards, stays end to end.
    """
    stay, step = clock.rows()
    before = step < clock.steps[stay]
    here, following = score[before], score[1:][before[:-1]]
    reward = organs.REWARDS[kind]
    rewards = organs.of_points(reward, here, following).astype(np.float64)
    rewards[np.cumsum(clock.steps) - 1] += organs.of_outcome(reward, died)
    return rewards


def terminals(kind: str, window_died: np.ndarray) -> np.ndarray:
    """Which stays are terminal at their end, [N] bool.

    Args:
      kind: the reward.
      window_died: [N] bool, stays that end in death.
    """
    return window_died.astype(bool) | organs.REWARDS[kind].settles
