"""MOPO for discrete actions (Yu et al. 2020, arXiv 2005.13239) on the clinical reward.

    init ->  repeat: rollouts -> buffer -> soft actor-critic under r_p - penalty * u

Eq. 7 and Algorithm 2: the reward of a rolled-out step is lowered by the uncertainty
u(s, a), the largest norm, over the members of the world model, of the standard
deviations that they predict; or, for members that predict none, by the largest distance
between two of their predictions (the paper's ablation). Critics are not made
conservative.
"""

import dataclasses

from omgrl_jax.data.space import Space
from omgrl_jax.learners import dyna, known_dyna, pessimism
from omgrl_jax.learners import soft_actor_critic as sac
from omgrl_jax.types import Algorithm, Dynamics, Spread


@dataclasses.dataclass(frozen=True)
class Config:
    """MOPO's settings.

    Attributes:
      penalty: reward lost per unit of u, the norm of predicted standard deviations of
        standardised features and channels (lambda of the paper); 0 trusts the world.
      agent: actor and critic.
      rollout: use of the world model.
      uncertainty: what u is: the "noise" that members predict, or their "disagreement".
    """

    penalty: float = dataclasses.field(default=1.0, metadata={"min": 0})
    agent: sac.AgentConfig = dataclasses.field(default_factory=sac.AgentConfig)
    rollout: dyna.RolloutConfig = dataclasses.field(default_factory=dyna.RolloutConfig)
    uncertainty: str = dataclasses.field(
        default="noise", metadata={"choices": Spread._fields}
    )


def make(config: Config, space: Space, dynamics: Dynamics) -> Algorithm:
    """Builds MOPO.

    Args:
      config: settings.
      space: the task.
      dynamics: the fitted world; its parameters come with the data.

    Returns:
      The algorithm; `data` is `dyna.Data`.

    Raises:
      ValueError: if the schema defines no reward, or the world gives no spread.
    """
    spread = pessimism.make_spread(dynamics)
    return known_dyna.make(
        config.agent,
        config.rollout,
        space,
        dynamics,
        sac.make(config.agent, space),
        pessimism.penalty(spread, config.uncertainty, config.penalty),
    )
