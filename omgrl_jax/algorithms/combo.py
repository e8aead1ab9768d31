"""COMBO for discrete actions (arXiv 2102.08363) on the clinical reward r_p.

    init ->  repeat: rollouts -> buffer -> conservative soft actor-critic

The reward of a transition comes from the channel that the schema names: r_p of the
predicted aPTT, or the recorded reward. Where it is `limited`, multipliers hold safety
costs and the share of steps outside of a guardian's region: a Lagrangian soft
actor-critic in the model.
"""

import dataclasses

from omgrl_jax.data.space import Space
from omgrl_jax.learners import dyna, known_dyna, pessimism
from omgrl_jax.learners import limits as limits_lib
from omgrl_jax.learners import restraint as restraint_lib
from omgrl_jax.learners import soft_actor_critic as sac
from omgrl_jax.learners.guardian import guardian as guardian_lib
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
      limited: whether limits (--limits_costs, --limits_guarded) hold the agent, by
        multipliers.
      limits: what is limited.
      guardian: the region, of present states and doses: without history.
      multipliers: how they answer to a share of steps above its limit.
    """

    conservatism: float = 0.1
    push_down: str = dataclasses.field(
        default="policy", metadata={"choices": tuple(value.PUSH_DOWN)}
    )
    agent: sac.AgentConfig = dataclasses.field(default_factory=sac.AgentConfig)
    rollout: dyna.RolloutConfig = dataclasses.field(default_factory=dyna.RolloutConfig)
    limited: bool = False
    limits: limits_lib.LimitsConfig = dataclasses.field(
        default_factory=limits_lib.LimitsConfig
    )
    guardian: guardian_lib.GuardianConfig = dataclasses.field(
        default_factory=guardian_lib.GuardianConfig
    )
    multipliers: restraint_lib.MultipliersConfig = dataclasses.field(
        default_factory=restraint_lib.MultipliersConfig
    )


def make(config: Config, space: Space, dynamics: Dynamics) -> Algorithm:
    """Builds COMBO.

    Args:
      config: settings.
      space: the task.
      dynamics: the fitted world; its parameters come with the data.

    Returns:
      The algorithm; `data` is `dyna.Data`.

    Raises:
      ValueError: if the schema defines no reward, or limits are asked for that cannot
        be: see `restraint.make`.
    """
    agent = sac.make(config.agent, space, config.conservatism, config.push_down)
    restraint = restraint_lib.asked(config, agent, space, dynamics)
    return known_dyna.make(
        config.agent,
        config.rollout,
        space,
        dynamics,
        agent,
        pessimism.none(),
        restraint,
    )
