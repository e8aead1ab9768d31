"""Conservative Q-learning, CQL(H) (arXiv 2006.04779), for discrete actions.

    recorded transitions -> conservative soft actor-critic

COMBO's learner without a model: the conservative term pushes values down at the
recorded states themselves (Eq. 4). Without that term (conservatism 0) it is discrete
soft actor-critic (Christodoulou 2019), trained off-line.
"""

import dataclasses

import jax

from omgrl_jax.data.space import Space
from omgrl_jax.learners import dyna, recorded
from omgrl_jax.learners import soft_actor_critic as sac
from omgrl_jax.ops import value
from omgrl_jax.types import Algorithm, Key, Metrics, Params, Transition


@dataclasses.dataclass(frozen=True)
class Config:
    """CQL's settings.

    Attributes:
      conservatism: weight alpha of the conservative term; 0 switches it off. Nothing
        but this term holds the policy to recorded actions, so that it is larger than
        where a model can be asked.
      push_down: form of that term: "logsumexp" (CQL(H)) or "policy" (Eq. 5 of arXiv
        2409.13299).
      agent: actor and critic; all their data are recorded, whatever recorded_share.
    """

    conservatism: float = 1.0
    push_down: str = dataclasses.field(
        default="logsumexp", metadata={"choices": tuple(value.PUSH_DOWN)}
    )
    agent: sac.AgentConfig = dataclasses.field(default_factory=sac.AgentConfig)


def make(config: Config, space: Space) -> Algorithm:
    """Builds CQL.

    Args:
      config: settings.
      space: the task.

    Returns:
      The algorithm; `data` is `dyna.Data`, the state `AgentState`.

    Raises:
      ValueError: if the schema defines no reward, or on an unknown push-down.
    """
    agent = sac.make(config.agent, space, config.conservatism, config.push_down)

    def init(key: Key, data: dyna.Data) -> sac.AgentState:
        del data
        return agent.init(key)

    def step(
        state: sac.AgentState, reward: sac.RewardFunction, batch: Transition
    ) -> tuple[sac.AgentState, Metrics]:
        nothing = jax.tree.map(lambda x: x[:0], batch)
        return agent.update(state, reward, batch, nothing)

    def policy_params(state: sac.AgentState) -> Params:
        return state.actor.params

    update = recorded.make_update(config.agent, space, step)
    return Algorithm(
        init,
        update,
        agent.policy,
        policy_params,
        action_values=sac.make_values(config.agent, space),
    )
