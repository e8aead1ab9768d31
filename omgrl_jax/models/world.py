"""The learned world: features by a Gaussian ensemble, channels by an outcome ensemble.

Two kinds of networks share a state. The *feature* networks (`features.py`) predict the
change of the dynamic features. The *outcome* networks (`outcome.py`) predict each
channel's value as it would be measured at the next step, are trained only where it was
measured, and also give the chance of a measurement. Tracked features follow by rule.
Where episodes may end, as by death, a third kind (`ends.py`) gives the chance of that.
A recorded reward may be told by where a step led (`rewards.py`).
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from omgrl_jax.data.space import Space
from omgrl_jax.models import advance as advance_lib
from omgrl_jax.models import dealing
from omgrl_jax.models import ends as ends_lib
from omgrl_jax.models import features as features_lib
from omgrl_jax.models import outcome as outcome_lib
from omgrl_jax.models import rewards as rewards_lib
from omgrl_jax.models.world_params import WorldParams
from omgrl_jax.types import Ahead, Array, Dynamics, Key, Params, Spread, Step


@dataclasses.dataclass(frozen=True)
class WorldConfig:
    """Networks of the world model.

    Attributes:
      hidden: widths of the feature networks (Table I: four layers of 128).
      outcome_hidden: widths of the outcome networks, and of those of ends and rewards.
      ends: whether episodes may end in the world as they did in the records, by death
        for example; else nothing that is rolled out ever ends.
      rewards: whether a recorded reward is told by where a step led and whether it
        ended there, which needs `ends`; else by state and action, as other channels
        are. Without effect where no reward is recorded.
      dose_effect: how an outcome depends on the dose: "proportional", a positive
        state-dependent slope times the change of the running dose average since the
        last draw, or "free", dose features as plain inputs.
      state_margin: rollouts keep standardised features within the range of 99 % of the
        training states, widened by so many standard deviations.
      components: Gaussians of which each feature's change is a mixture; one as in the
        paper. Safety costs are tails, which one Gaussian misses.
      blur: standard deviations of a feature by which likelihoods of its change are
        blurred, in fits alone: for states with scores, held values or doses, which
        else are learned at the cost of all others. A change that scatters by no more
        than this is learned as if it did not scatter.
    """

    hidden: tuple[int, ...] = (128, 128, 128, 128)
    outcome_hidden: tuple[int, ...] = (64, 64)
    dose_effect: str = dataclasses.field(
        default="proportional", metadata={"choices": outcome_lib.DOSE_EFFECTS}
    )
    state_margin: float = 0.5
    ends: bool = False
    components: int = dataclasses.field(default=1, metadata={"min": 1})
    rewards: bool = False
    blur: float = dataclasses.field(default=0.0, metadata={"min": 0})

    def __post_init__(self) -> None:
        """Rejects unknown options."""
        if self.dose_effect not in outcome_lib.DOSE_EFFECTS:
            raise ValueError(
                f"dose_effect='{self.dose_effect}': use one of "
                f"{outcome_lib.DOSE_EFFECTS}"
            )


class Noise(NamedTuple):
    """The random numbers of one step of one state.

    Attributes:
      change: of its features.
      value: [C] standard normal, of its channels.
      measured: [C] in [0, 1): a channel is measured where it lies below the chance.
      ends: [] likewise; None where nothing ends.
    """

    change: features_lib.Noise
    value: Array
    measured: Array
    ends: Array | None


class World(NamedTuple):
    """The model as pure functions, one member and one state where nothing else is said.

    Attributes:
      init_features: `(key) -> params`.
      init_outcomes: `(key) -> params`.
      feature_loss: `(scales, params, example) -> []`.
      outcome_loss: `(scales, params, example) -> []`.
      outcome: `(scales, params, state [S], action [], amount []) -> Outcome`.
      noise: `(key) -> Noise`, the random numbers of a step.
      step: `(world params, member, noise, state [S], action []) -> Step`, a draw of the
        member (parameters of features, of outcomes, of ends, of rewards).
      dynamics: batches of states over the whole ensemble.
      predicted: state indices of the features that are predicted.
      ends: networks of ends; None where nothing ends.
      rewards: networks of rewards; None where they are channels.
    """

    init_features: Any
    init_outcomes: Any
    feature_loss: Any
    outcome_loss: Any
    outcome: Any
    noise: Any
    step: Any
    dynamics: Dynamics
    predicted: tuple[int, ...]
    ends: ends_lib.Ends | None = None
    rewards: rewards_lib.Rewards | None = None


def make(
    config: WorldConfig,
    space: Space,
    outcomes: outcome_lib.Outcomes | None = None,
) -> World:
    """Builds the model for a space.

    Args:
      config: networks and options.
      space: the task.
      outcomes: networks of the channels, such as those of one patient; None for those
        of the configuration.

    Returns:
      The functions.

    Raises:
      ValueError: on rewards without ends.
    """
    features = features_lib.make(config.hidden, space, config.components, config.blur)
    if outcomes is None:
        outcomes = population_outcomes(config, space)
    ends = ends_lib.make(config.outcome_hidden, space) if config.ends else None
    rewards = _rewards_of(config, space)

    noise = _make_noise(features, len(space.channels), config.ends)
    step = _make_step(features, outcomes, ends, rewards, space)
    ahead = _dealt_ahead(noise, step)

    def sample(params: WorldParams, key: Key, states: Array, actions: Array) -> Step:
        deal = ahead.draw(params, key, states.shape[0])
        return ahead.step(params, deal, states, actions)

    def mean(
        params: WorldParams,
        states: Array,
        actions: Array,
        amounts: Array | None = None,
    ) -> Step:
        usual = advance_lib.usual(space, params.scales, actions)
        given = usual if amounts is None else amounts
        found = _mean(features, outcomes, space, params, states, actions, given)
        parts = ends, rewards
        return _completed(parts, space, params, states, actions, found)

    def spread(params: WorldParams, states: Array, actions: Array) -> Spread:
        return _spread(features, outcomes, space, params, states, actions)

    return World(
        init_features=features.init,
        init_outcomes=outcomes.init,
        feature_loss=features.loss,
        outcome_loss=outcomes.loss,
        outcome=outcomes.predict,
        noise=noise,
        step=step,
        dynamics=Dynamics(sample, mean, spread, ahead),
        predicted=space.dynamic,
        ends=ends,
        rewards=rewards,
    )


def population_outcomes(config: WorldConfig, space: Space) -> outcome_lib.Outcomes:
    """The outcome networks that a configuration asks for."""
    return outcome_lib.make(config.outcome_hidden, config.dose_effect, space)


def _make_noise(
    features: features_lib.Features, channels: int, ends: bool
) -> Callable[[Key], Noise]:
    """`(key) -> Noise`."""

    def noise(key: Key) -> Noise:
        feature_key, value_key, draw_key, end_key = jax.random.split(key, 4)
        return Noise(
            features.noise(feature_key),
            jax.random.normal(value_key, (channels,)),
            jax.random.uniform(draw_key, (channels,)),
            jax.random.uniform(end_key) if ends else None,
        )

    return noise


def _make_step(
    features: features_lib.Features,
    outcomes: outcome_lib.Outcomes,
    ends: ends_lib.Ends | None,
    rewards: rewards_lib.Rewards | None,
    space: Space,
) -> Callable[..., Step]:
    """`(world params, member, noise, state [S], action) -> Step` of one member."""

    def step(
        params: WorldParams, member: Any, drawn: Noise, state: Array, action: Array
    ) -> Step:
        change = features.draw(member[0], drawn.change, state, action)
        amount = advance_lib.usual(space, params.scales, action)
        said = outcomes.predict(params.scales, member[1], state, action, amount)
        value = said.mean + jnp.exp(0.5 * said.log_var) * drawn.value
        measured = drawn.measured < jax.nn.sigmoid(said.logit)
        following = advance_lib.advance(
            space, params, state, change, amount, value, measured, said.now
        )
        if ends is not None:
            chance = jax.nn.sigmoid(ends.logit(member[2], state, action))
            assert drawn.ends is not None
            goes_on = drawn.ends >= chance
            following = following._replace(discount=goes_on.astype(jnp.float32))
        if rewards is None:
            return following
        return _rewarded(rewards, space, member[3], state, following)

    return step


def _dealt_ahead(noise: Callable[[Key], Noise], one: Callable[..., Step]) -> Ahead:
    """Steps of many states, each dealt to one member."""

    def deal(params: WorldParams, key: Key, batch: int) -> dealing.Deal:
        return dealing.draw(params, key, batch, noise)

    def step(
        params: WorldParams, deal: dealing.Deal, states: Array, actions: Array
    ) -> Step:
        return dealing.play(params, deal, states, actions, one)

    return Ahead(deal, step)


def _rewards_of(config: WorldConfig, space: Space) -> rewards_lib.Rewards | None:
    """The networks of rewards, where they are asked for and a reward is recorded."""
    if not config.rewards or space.recorded_reward is None:
        return None
    if not config.ends:
        raise ValueError(
            "--world_rewards without --world_ends: rewards of a last step, such as "
            "those for the outcome, would never be paid; give both"
        )
    return rewards_lib.make(config.outcome_hidden, space)


def _completed(
    parts: tuple[ends_lib.Ends | None, rewards_lib.Rewards | None],
    space: Space,
    params: WorldParams,
    states: Array,
    actions: Array,
    found: Step,
) -> Step:
    """Mean steps with the chance to go on and the reward, where the world has them."""
    ends, rewards = parts
    if ends is not None:
        of_states = jax.vmap(ends.logit, in_axes=(None, 0, 0))
        logits = jax.vmap(of_states, in_axes=(0, None, None))(
            params.ends, states, actions
        )
        found = found._replace(discount=jnp.mean(jax.nn.sigmoid(-logits), axis=0))
    if rewards is None:
        return found
    each = functools.partial(_rewarded, rewards, space)
    members = jax.vmap(jax.vmap(each, (None, 0, 0)), (0, None, None))
    told = members(params.rewards, states, found)
    return found._replace(outcome=jnp.mean(told.outcome, axis=0))


def _rewarded(
    rewards: rewards_lib.Rewards, space: Space, params: Params, state: Array, step: Step
) -> Step:
    """A step whose recorded reward is that of where it led."""
    one = jnp.ones(())

    def of(discount: Array) -> Array:
        return rewards.value(params, state, step.state, discount)

    # A mean step may end in part; a drawn one ends or does not.
    goes_on = one if step.discount is None else step.discount
    told = goes_on * of(one) + (1.0 - goes_on) * of(0.0 * one)
    return step._replace(outcome=step.outcome.at[space.recorded_reward].set(told))


def _mean(
    features: features_lib.Features,
    outcomes: outcome_lib.Outcomes,
    space: Space,
    params: WorldParams,
    states: Array,
    actions: Array,
    amounts: Array,
) -> Step:
    """The members' mean without noise, in which nothing is measured."""

    def member_mean(feature_params: Params, outcome_params: Params) -> tuple:
        def one(state: Array, action: Array, amount: Array) -> tuple:
            change, _ = features.moments(feature_params, state, action)
            return change, outcomes.predict(
                params.scales, outcome_params, state, action, amount
            )

        return jax.vmap(one)(states, actions, amounts)

    change, said = jax.tree.map(
        lambda x: jnp.mean(x, axis=0),
        jax.vmap(member_mean)(params.features, params.outcomes),
    )
    never = jnp.zeros(said.mean.shape, bool)
    advance = functools.partial(advance_lib.advance, space, params)
    return jax.vmap(advance)(states, change, amounts, said.mean, never, said.now)


def _spread(
    features: features_lib.Features,
    outcomes: outcome_lib.Outcomes,
    space: Space,
    params: WorldParams,
    states: Array,
    actions: Array,
) -> Spread:
    """What the members predict, changes and channels together, and how they differ."""
    amounts = advance_lib.usual(space, params.scales, actions)

    def moments(feature_params: Params, outcome_params: Params) -> tuple:
        def one(state: Array, action: Array, amount: Array) -> tuple:
            change, log_var = features.moments(feature_params, state, action)
            said = outcomes.predict(
                params.scales, outcome_params, state, action, amount
            )
            mean = jnp.concatenate([change, said.mean])
            return mean, jnp.exp(0.5 * jnp.concatenate([log_var, said.log_var]))

        return jax.vmap(one)(states, actions, amounts)

    mean, std = jax.vmap(moments)(params.features, params.outcomes)
    distance = jnp.linalg.norm(mean[:, None] - mean[None, :], axis=-1)
    return Spread(
        noise=jnp.max(jnp.linalg.norm(std, axis=-1), axis=0),
        disagreement=jnp.max(distance, axis=(0, 1)),
    )
