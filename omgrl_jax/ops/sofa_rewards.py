"""What the steps of a stay are worth by organ failure (SOFA) and by the outcome.

Plain arithmetic, for numpy and JAX arrays alike: recorded and virtual stays are
rewarded by the same lines.
"""

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Reward:
    """What a stay is worth.

    Attributes:
      outcome: given at the end to who leaves the hospital alive, taken for a death.
      worse: taken for each point of SOFA more in a step.
      better: given for each point less.
      level: taken in each step for each point of SOFA at its end.
    """

    outcome: float = 15.0
    worse: float = 0.25
    better: float = 0.1
    level: float = 0.0

    @property
    def settles(self) -> bool:
        """Whether the end stands for all that follows, so that every stay is terminal.

        Without an outcome only death ends a stay for good, and learners go on from the
        last row of others. Then nothing more is taken from the dead, which makes an
        early death the best a policy can do: such a reward is for comparison with work
        that uses it.
        """
        return self.outcome != 0.0


# sofa: for points that fell or rose within a step, and at the stay's last one for
# survival or death (the size of Raghu et al., arXiv 1711.09602; those of points are
# chosen); terminal: the last of these alone; negative_sofa: minus the points at the end
# of each step, survival left aside.
REWARDS = {
    "sofa": Reward(),
    "terminal": Reward(worse=0.0, better=0.0),
    "negative_sofa": Reward(outcome=0.0, worse=0.0, better=0.0, level=1.0),
}


def of_points(reward: Reward, before: Any, after: Any) -> Any:
    """Rewards [...] of steps by SOFA points [...] at their start and end."""
    change = after - before
    moved = change * (reward.worse * (change > 0) + reward.better * (change < 0))
    return -moved - reward.level * after


def of_outcome(reward: Reward, died: Any) -> Any:
    """Rewards [...] of the end for whether patients died [...]."""
    return reward.outcome * (1.0 - 2.0 * died)
