"""The recorded reward of each step.

* `sofa`: .1 for each point that SOFA fell within the step, -.25 for each that it rose,
  and at the stay's last step 15 for survival or -15 for death.
* `terminal`: the last of these alone.
* `negative_sofa`: minus the SOFA score of the next row; survival does not enter.

With the first two the outcome stands for everything after the last step, so every stay
is terminal at its end: to go on from its last state would count what follows twice.
With the third only a stay that ends in death is.
"""

import numpy as np

from data_prep.clock import Clock

FALL, RISE, OUTCOME = 0.1, -0.25, 15.0


def recorded(
    kind: str, score: np.ndarray, died: np.ndarray, clock: Clock
) -> np.ndarray:
    """Rewards of all steps.

    Args:
      kind: "sofa", "terminal" or "negative_sofa".
      score: [R] SOFA score of each row.
      died: [N] bool.
      clock: the rows.

    Returns:
      [M] rewards, stays end to end.
    """
    stay, step = clock.rows()
    before = step < clock.steps[stay]
    here, following = score[before], score[1:][before[:-1]]
    if kind == "negative_sofa":
        return -following.astype(np.float64)
    rewards = np.zeros(here.size)
    if kind == "sofa":
        change = following - here
        rewards = np.where(change < 0, FALL * -change, RISE * change)
    rewards[np.cumsum(clock.steps) - 1] += np.where(died, -OUTCOME, OUTCOME)
    return rewards


def terminals(kind: str, window_died: np.ndarray) -> np.ndarray:
    """Which stays are terminal at their end, [N] bool.

    Args:
      kind: the reward.
      window_died: [N] bool, stays that end in death.
    """
    if kind == "negative_sofa":
        return window_died.astype(bool)
    return np.ones(window_died.size, bool)
