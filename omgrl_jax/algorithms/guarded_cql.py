"""Conservative Q-learning under limits: guarded CQL (arXiv 2505.16242, Section 6).

    recorded transitions, guardian, multipliers -> conservative soft actor-critic
                                                -> values of costs -> multipliers

The guardian lowers the value of every dose outside of its region, to the actor and in
the critics' targets. Each safety cost has values of its own, and a multiplier that
rises while those at admission lie above the limit; costs weigh with the actor alone.
Nothing is rolled out: states that the records do not hold are never met, so that only
doses are guarded, not where they lead.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from omgrl_jax.data import records as records_lib
from omgrl_jax.data import space as space_lib
from omgrl_jax.data.space import Space
from omgrl_jax.learners import cost_critics, dyna, recorded, restraint
from omgrl_jax.learners import limits as limits_lib
from omgrl_jax.learners import soft_actor_critic as sac
from omgrl_jax.learners.guardian import guardian as guardian_lib
from omgrl_jax.ops import dual as dual_ops
from omgrl_jax.ops import value
from omgrl_jax.types import Algorithm, Array, Key, Metrics, Params, Transition


@dataclasses.dataclass(frozen=True)
class Config:
    """Guarded CQL's settings.

    Attributes:
      conservatism: weight alpha of the conservative term; 0 switches it off.
      push_down: form of that term, see CQL.
      penalty: what a dose outside of the guardian's region loses, in the unit of the
        rewards.
      multipliers: how those of costs answer to a share of steps above its limit.
      limits: what is limited. The guardian's own limit is not used here: its doses are
        marked down, whatever their share.
      guardian: the region, of present states and doses: without history.
      agent: actor and critics; all their data are recorded.
    """

    conservatism: float = 1.0
    push_down: str = dataclasses.field(
        default="logsumexp", metadata={"choices": tuple(value.PUSH_DOWN)}
    )
    penalty: float = dataclasses.field(default=10.0, metadata={"min": 0})
    multipliers: restraint.MultipliersConfig = dataclasses.field(
        default_factory=restraint.MultipliersConfig
    )
    limits: limits_lib.LimitsConfig = dataclasses.field(
        default_factory=limits_lib.LimitsConfig
    )
    guardian: guardian_lib.GuardianConfig = dataclasses.field(
        default_factory=guardian_lib.GuardianConfig
    )
    agent: sac.AgentConfig = dataclasses.field(default_factory=sac.AgentConfig)


class Outside(NamedTuple):
    """What the guardian says of recorded states.

    Attributes:
      rows: [R, A] 1.0 where a dose in a recorded state lies outside, else 0.0.
    """

    rows: Array


class State(NamedTuple):
    """What is kept between epochs.

    Attributes:
      agent: actor, critics and entropy coefficient.
      costs: values of the costs.
      dual: their multipliers.
      outside: of the training records; None where no guardian guards.
    """

    agent: sac.AgentState
    costs: cost_critics.State
    dual: dual_ops.Dual
    outside: Outside | None


def make(config: Config, space: Space) -> Algorithm:
    """Builds guarded CQL.

    Args:
      config: settings.
      space: the task.

    Returns:
      The algorithm; `data` is `dyna.Data`, with validation records where a guardian
      guards. It logs `safety/excess_NAME`, what a cost's share of a stay's discounted
      steps is thought to lie above its limit, `safety/dual_NAME`, and
      `safety/marked`, the policy's share of doses outside in recorded states.

    Raises:
      ValueError: if the schema defines no reward, or tells nothing of a cost; on a
        guardian that asks a world model or looks at histories.
    """
    restraint.require_single_steps(config.limits, config.guardian)
    agent = sac.make(config.agent, space, config.conservatism, config.push_down)
    held = limits_lib.make(config.limits, config.guardian, space, None, 0)
    names = config.limits.costs
    # The last one tells how many steps there are.
    least = [*(-most for most in config.limits.most), 0.0]
    critics = cost_critics.make(config.agent, space, len(names) + 1, least)

    def init(key: Key, data: dyna.Data) -> State:
        agent_key, cost_key = jax.random.split(key)
        return State(
            agent.init(agent_key),
            critics.init(cost_key),
            dual_ops.start(len(names)),
            _outside(held, data, space),
        )

    def step(
        state: State, reward: sac.RewardFunction, data: dyna.Data, key: Key
    ) -> tuple[State, Metrics]:
        rows = records_lib.sample_rows(data.train, key, config.agent.batch_size)
        batch = records_lib.transition_at(data.train, rows)
        nothing = jax.tree.map(lambda x: x[:0], batch)
        known = _lowered(config.penalty, critics, state, batch, rows)
        found, metrics = agent.update(state.agent, reward, batch, nothing, known)
        over = _over(held, config.limits.most, data, batch)
        log_probs = agent.policy.log_probs(found.actor.params, batch.next_state)
        values = critics.update(state.costs, batch, over, log_probs)
        if state.outside is not None:
            chances = jnp.exp(agent.policy.log_probs(found.actor.params, batch.state))
            marked = chances * state.outside.rows[rows]
            metrics["safety/marked"] = jnp.mean(jnp.sum(marked, axis=1))
        return state._replace(agent=found, costs=values), metrics

    epoch = recorded.make_epoch(config.agent.updates, space, step)

    def update(state: State, key: Key, data: dyna.Data) -> tuple[State, Metrics]:
        step_key, row_key = jax.random.split(key)
        state, metrics = epoch(state, step_key, data)
        rows = records_lib.sample_admissions(data.train, row_key, 1024)
        starts = data.train.states[rows]
        log_probs = agent.policy.log_probs(state.agent.actor.params, starts)
        ahead = jnp.mean(critics.expected(state.costs, starts, log_probs), axis=1)
        excess = ahead[:-1] / jnp.maximum(ahead[-1], 1.0)
        multipliers = dual_ops.follow(config.multipliers.gains, state.dual, excess)
        for j, name in enumerate(names):
            metrics[f"safety/excess_{name}"] = excess[j]
            metrics[f"safety/dual_{name}"] = multipliers.value[j]
        return state._replace(dual=multipliers), metrics

    def policy_params(state: State) -> Params:
        return state.agent.actor.params

    values = sac.make_values(config.agent, space)
    return Algorithm(
        init,
        update,
        agent.policy,
        policy_params,
        action_values=lambda state, states: values(state.agent, states),
    )


def _over(
    held: limits_lib.Limits,
    most: tuple[float, ...],
    data: dyna.Data,
    batch: Transition,
) -> Array:
    """[J + 1, B] what each step costs more than it may, and 1."""
    over = (
        restraint.of_steps(held, None, data, batch)
        - jnp.array(most, jnp.float32)[:, None]
    )
    return jnp.concatenate([over, jnp.ones((1, batch.discount.shape[0]))])


def _lowered(
    penalty: float,
    critics: cost_critics.CostCritics,
    state: State,
    batch: Transition,
    rows: Array,
) -> sac.Lowered:
    """What costs and the guardian take off the values of actions, for rows [B]."""
    weights = jnp.append(state.dual.value, 0.0)
    here = critics.weighed(state.costs, weights, batch.state)
    if state.outside is None:
        return sac.Lowered(here, jnp.zeros_like(here))
    marked = penalty * state.outside.rows
    return sac.Lowered(here + marked[rows], marked[rows + 1])


def _outside(held: limits_lib.Limits, data: dyna.Data, space: Space) -> Outside | None:
    """What the guardian says of each dose in each recorded state, where one guards."""
    fitted, guard, records = held.fit(data), held.guardian, data.train
    if fitted is None or guard is None:
        return None
    rows = jnp.arange(records.states.shape[0])
    # Of a step the guardian looks at state and dose: the rest may be another's.
    steps = records_lib.transition_at(records, jnp.maximum(rows - 1, 0))
    steps = steps._replace(state=records.states)

    def of(action: Array) -> Array:
        given = jnp.full(rows.shape, action, space_lib.no_action(space).dtype)
        asked = jax.tree.map(lambda x: x[None], steps._replace(action=given))
        scores = guard.of_rollouts(fitted, data.world, asked)[0]
        return guardian_lib.outside(fitted, scores).astype(jnp.float32)

    return Outside(jax.lax.map(of, jnp.arange(space.num_actions)).T)
