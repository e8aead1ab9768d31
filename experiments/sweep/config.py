"""What is swept; each field is a flag of the script."""

import dataclasses

from experiments.config import ALGORITHMS


@dataclasses.dataclass(frozen=True)
class SweepConfig:
    """What is swept, beside the settings of the method itself.

    Attributes:
      experiment: the method.
      grid: settings to try, as name=value,value;name=value,... in all combinations; a
        name is that of a flag, with or without the method in front; values of a list
        (widths of layers) stand between bars: agent_critic_hidden=64,64|256,256.
      chunk: members that train at once; 0: as many as memory holds.
    """

    experiment: str = dataclasses.field(
        default="omg_rl", metadata={"choices": tuple(ALGORITHMS)}
    )
    grid: str = ""
    chunk: int = dataclasses.field(default=0, metadata={"min": 0})
