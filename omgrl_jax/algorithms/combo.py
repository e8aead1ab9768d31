"""COMBO for discrete actions (arXiv 2102.08363) on the clinical reward r_p.

    init ->  repeat: rollouts -> buffer -> conservative soft actor-critic

The reward of a transition comes from the channel that the schema names: r_p of the
predicted aPTT, or the recorded reward.
"""

import dataclasses

from omgrl_jax.data.space import Space
from omgrl_jax.learners import dyna, known_dyna, pessimism
from omgrl_jax.learners import soft_actor_critic as sac
from omgrl_jax.ops import value
from omgrl_jax.types import Algorithm, Dynamics


@dataclasses.dataclass(frozen=True)
class Config:
    """COMBO's settings.

    Attributes:
      conservatism: weight of the conservative term; the reward is known and stands
        still, so that it needs less than a reward that is being learned.
      push_down: form of that term: "policy" (Eq. 5) or "logsumexp" (CQL).
      agent: actor and critic.
      rollout: use of the world model.
    """

    conservatism: float = 0.1
    push_down: str = dataclasses.field(
        default="policy", metadata={"choices": tuple(value.PUSH_DOWN)}
    )
    agent: sac.AgentConfig = dataclasses.field(default_factory=sac.AgentConfig)
    rollout: dyna.RolloutConfig = dataclasses.field(default_factory=dyna.RolloutConfig)


def make(config: Config, space: Space, dynamics: Dynamics) -> Algorithm:
    """Builds COMBO.

    Args:
      config: settings.
      space: the task.
      dynamics: the fitted world; its parameters come with the data.

    Returns:
      The algorithm; `data` is `dyna.Data`.

    Raises:
      ValueError: if the schema defines no reward.
    """
    return known_dyna.make(
        config.agent,
        config.rollout,
        space,
        dynamics,
        pessimism.none(),
        config.conservatism,
        config.push_down,
    )
