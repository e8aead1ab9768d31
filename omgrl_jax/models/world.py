"""The learned world: features by a Gaussian ensemble, channels by an outcome ensemble.

Two kinds of networks share a state. The *feature* networks predict the change of the
dynamic features (arXiv 2409.13299, Eq. 4). The *outcome* networks predict each channel's
value as it would be measured at the next step, are trained only where it was measured,
and also give the chance of a measurement. Tracked features follow by rule.

Confounding by indication (doses rise where aPTT is low) hides the dose effect from a
network that sees only state and action. The outcome networks are therefore fed by what
changed: the running dose average against its value at the last draw, with the last
measured value as the baseline.
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from omgrl_jax import networks
from omgrl_jax.data import tracking
from omgrl_jax.data.records import Records, Scales, Space
from omgrl_jax.models import ensemble
from omgrl_jax.ops import likelihood
from omgrl_jax.types import Array, Dynamics, Key, Params, Step

DOSE_EFFECTS = ("proportional", "free")


@dataclasses.dataclass(frozen=True)
class WorldConfig:
    """Networks of the world model.

    Attributes:
      hidden: widths of the feature networks (Table I: four layers of 128).
      outcome_hidden: widths of the outcome networks.
      dose_effect: how an outcome depends on the dose: "proportional", a positive
        state-dependent slope times the change of the running dose average since the
        last draw, or "free", dose features as plain inputs.
      state_margin: rollouts keep standardised features within the training range
        widened by so many standard deviations.
    """

    hidden: tuple[int, ...] = (128, 128, 128, 128)
    outcome_hidden: tuple[int, ...] = (64, 64)
    dose_effect: str = "proportional"
    state_margin: float = 0.5

    def __post_init__(self) -> None:
        """Rejects unknown options."""
        if self.dose_effect not in DOSE_EFFECTS:
            raise ValueError(
                f"dose_effect='{self.dose_effect}': use one of {DOSE_EFFECTS}"
            )


class WorldParams(NamedTuple):
    """Everything a world model needs to run: shareable, no recorded rows.

    Attributes:
      features: feature networks, leaves [E, ...].
      outcomes: outcome networks, leaves [E, ...].
      scales: the standardisation.
      low: [S] lower limits of states in rollouts.
      high: [S] upper limits.
    """

    features: Params
    outcomes: Params
    scales: Scales
    low: Array
    high: Array


class Example(NamedTuple):
    """What the networks are fitted on, one recorded transition."""

    state: Array
    action: Array
    amount: Array
    next_state: Array
    outcome: Array
    measured: Array


class Outcome(NamedTuple):
    """Prediction for the channels of one state, standardised.

    Attributes:
      now: [C] value at the end of the step, whether or not it is measured.
      mean: [C] value that a measurement reported at the end of the step would have;
        another than `now` where reports are delayed.
      log_var: [C] log variance of such a measurement.
      logit: [C] log-odds that one is reported.
    """

    now: Array
    mean: Array
    log_var: Array
    logit: Array


class World(NamedTuple):
    """The model as pure functions; see `make`."""

    init_features: Any
    init_outcomes: Any
    feature_loss: Any
    outcome_loss: Any
    outcome: Any
    step: Any
    dynamics: Dynamics


def examples(records: Records) -> Example:
    """All recorded transitions, leaves [M, ...]."""
    rows = records.transitions
    return Example(
        state=records.states[rows],
        action=records.actions[rows],
        amount=records.amounts[rows],
        next_state=records.states[rows + 1],
        outcome=records.outcome[rows],
        measured=records.measured[rows],
    )


def make(config: WorldConfig, space: Space) -> World:
    """Builds the model for a space.

    Args:
      config: networks and options.
      space: the task.

    Returns:
      The functions: `init_*(key) -> params`, `*_loss(scales, params, example) -> []` (one
      member, one example), `outcome(scales, params, state, action, amount)`, `step`, one
      member's draw for one state, and `dynamics` over an ensemble.
    """
    stored, dynamic = space.num_stored, jnp.array(space.dynamic, int)
    num_dynamic, num_channels = len(space.dynamic), len(space.channels)
    feature_net = networks.MLP(config.hidden, 2 * num_dynamic)
    proportional = config.dose_effect == "proportional" and _responsive(space)
    # Without channels one output that nobody reads: layers of width 0 cannot be made.
    outcome_net = networks.MLP(config.outcome_hidden, max(4 * num_channels, 1))
    bases = _last_value_index(space)

    def init_features(key: Key) -> Params:
        example = jnp.zeros(space.state_dim + space.num_actions)
        return {
            "net": feature_net.init(key, example),
            "low": jnp.full(num_dynamic, -10.0),
            "high": jnp.full(num_dynamic, 1.0),
        }

    def feature_moments(params: Params, state: Array, action: Array) -> tuple:
        one_hot = jax.nn.one_hot(action, space.num_actions)
        out = feature_net.apply(params["net"], jnp.concatenate([state, one_hot]))
        mean, raw = jnp.split(out, 2)
        return mean, likelihood.soft_clamp(raw, params["low"], params["high"])

    def feature_loss(scales: Scales, params: Params, example: Example) -> Array:
        del scales  # states and changes are standardised already
        mean, log_var = feature_moments(params, example.state, example.action)
        change = (example.next_state - example.state)[dynamic]
        bounds = jnp.sum(params["high"] - params["low"])
        nll = likelihood.gaussian_nll(change, mean, log_var)
        return jnp.mean(nll) + 1e-3 * bounds / num_dynamic

    def dose_inputs(scales: Scales, state: Array, amount: Array) -> tuple:
        """Tracked features after the step, and dose changes since the last draw.

        The changes are those in effect at the end of the step and at the time at which
        blood reported then was drawn.
        """
        raw = scales.state.invert(state)[stored:]
        never = jnp.zeros(num_channels, bool)
        value = jnp.zeros(num_channels)
        following = tracking.advance(
            space.tracked, space.channels, raw, amount, value, never
        )
        z = _standardise(scales, stored, following)
        changes, drawn = [], []
        for average, at_draw in _dose_pairs(space):
            std = scales.state.std[stored + average]
            before = raw if space.tracked[at_draw].delay else following
            changes.append((following[average] - raw[at_draw]) / std)
            drawn.append((before[average] - raw[at_draw]) / std)
        if not changes:
            return z, jnp.zeros(0), jnp.zeros(0)
        return z, jnp.stack(changes), jnp.stack(drawn)

    num_changes = 2 * len(_dose_pairs(space))
    free_inputs = len(space.tracked) + num_changes + space.num_actions

    def outcome_inputs(scales: Scales, state: Array, action: Array, amount: Array):
        following, change, drawn = dose_inputs(scales, state, amount)
        if proportional:
            return state, change, drawn
        one_hot = jax.nn.one_hot(action, space.num_actions)
        inputs = jnp.concatenate([state, following, change, drawn, one_hot])
        return inputs, change, drawn

    def init_outcomes(key: Key) -> Params:
        width = space.state_dim + (0 if proportional else free_inputs)
        return {
            "net": outcome_net.init(key, jnp.zeros(width)),
            "low": jnp.full(num_channels, -8.0),
            "high": jnp.full(num_channels, 2.0),
        }

    def outcome(
        scales: Scales, params: Params, state: Array, action: Array, amount: Array
    ) -> Outcome:
        inputs, change, drawn = outcome_inputs(scales, state, action, amount)
        out = outcome_net.apply(params["net"], inputs)
        mean, raw_log_var, logit, slope = jnp.split(out[: 4 * num_channels], 4)
        mean = mean + _base(scales, bases, state)
        now = mean
        if proportional:
            now = mean + jax.nn.softplus(slope) * change
            mean = mean + jax.nn.softplus(slope) * drawn
        log_var = likelihood.soft_clamp(raw_log_var, params["low"], params["high"])
        return Outcome(now, mean, log_var, logit)

    def outcome_loss(scales: Scales, params: Params, example: Example) -> Array:
        seen = example.measured.astype(jnp.float32)
        said = outcome(scales, params, example.state, example.action, example.amount)
        nll = likelihood.gaussian_nll(example.outcome, said.mean, said.log_var)
        draws = likelihood.bernoulli_nll(seen, said.logit)
        bounds = params["high"] - params["low"]
        # A dataset without channels has nothing to fit here, and no mean either.
        return jnp.sum(seen * nll + draws + 1e-3 * bounds) / max(num_channels, 1)

    def step(
        params: WorldParams, member: Any, key: Key, state: Array, action: Array
    ) -> Step:
        feature_key, value_key, draw_key = jax.random.split(key, 3)
        mean, log_var = feature_moments(member[0], state, action)
        noise = jax.random.normal(feature_key, mean.shape)
        change = mean + jnp.exp(0.5 * log_var) * noise
        amount = params.scales.amounts[action]
        said = outcome(params.scales, member[1], state, action, amount)
        noise = jax.random.normal(value_key, said.mean.shape)
        value = said.mean + jnp.exp(0.5 * said.log_var) * noise
        measured = jax.random.uniform(draw_key, value.shape) < jax.nn.sigmoid(
            said.logit
        )
        return advance(params, state, change, amount, value, measured, said.now)

    def advance(
        params: WorldParams,
        state: Array,
        change: Array,
        amount: Array,
        value: Array,
        measured: Array,
        estimate: Array,
    ) -> Step:
        features = state[:stored].at[dynamic].add(change)
        tracked = tracking.advance(
            space.tracked,
            space.channels,
            params.scales.state.invert(state)[stored:],
            amount,
            params.scales.channel.invert(value),
            measured,
        )
        following = jnp.concatenate(
            [features, _standardise(params.scales, stored, tracked)]
        )
        return Step(jnp.clip(following, params.low, params.high), estimate)

    def sample(params: WorldParams, key: Key, states: Array, actions: Array) -> Step:
        return _balanced(params, key, states, actions, step)

    def mean(
        params: WorldParams,
        states: Array,
        actions: Array,
        amounts: Array | None = None,
    ) -> Step:
        given = params.scales.amounts[actions] if amounts is None else amounts

        def member_mean(features: Params, outcomes: Params) -> tuple[Array, Outcome]:
            def one(state: Array, action: Array, amount: Array) -> tuple:
                change, _ = feature_moments(features, state, action)
                return change, outcome(params.scales, outcomes, state, action, amount)

            return jax.vmap(one)(states, actions, given)

        change, said = jax.tree.map(
            lambda x: jnp.mean(x, axis=0),
            jax.vmap(member_mean)(params.features, params.outcomes),
        )
        never = jnp.zeros(said.mean.shape, bool)
        return jax.vmap(advance, in_axes=(None, 0, 0, 0, 0, 0, 0))(
            params, states, change, given, said.mean, never, said.now
        )

    return World(
        init_features,
        init_outcomes,
        feature_loss,
        outcome_loss,
        outcome,
        step,
        Dynamics(sample, mean),
    )


def fit(
    world: World,
    config: WorldConfig,
    fit_config: ensemble.FitConfig,
    key: Key,
    scales: Scales,
    train: Records,
    validation: Records,
    on_epochs: Any = None,
) -> tuple[WorldParams, dict[str, ensemble.Fit]]:
    """Fits both ensembles on the training stays.

    Args:
      world: the functions.
      config: the configuration the world was made with.
      fit_config: how to fit.
      key: consumed.
      scales: the standardisation.
      train: training records.
      validation: records of other patients, for the early stop and the choice.
      on_epochs: called with (epochs done, largest number, mean validation loss).

    Returns:
      The parameters, and both fits by name ("features", "outcomes").
    """
    feature_key, outcome_key = jax.random.split(key)
    fitted, held_out = examples(train), examples(validation)
    stay = train.stay[train.transitions]
    features = ensemble.fit(
        feature_key,
        world.init_features,
        world.feature_loss,
        scales,
        fitted,
        held_out,
        stay,
        fit_config,
        on_epochs,
    )
    outcomes = ensemble.fit(
        outcome_key,
        world.init_outcomes,
        world.outcome_loss,
        scales,
        fitted,
        held_out,
        stay,
        fit_config,
        on_epochs,
    )
    params = WorldParams(
        features=features.params,
        outcomes=outcomes.params,
        scales=scales,
        low=jnp.min(train.states, axis=0) - config.state_margin,
        high=jnp.max(train.states, axis=0) + config.state_margin,
    )
    return params, {"features": features, "outcomes": outcomes}


def relabel(world: World, params: WorldParams, records: Records) -> Records:
    """Replaces the held channel values by the model's estimate for the next step.

    The last measured value is hours old; the estimate for the recorded dose is what
    rollouts are rewarded by as well, so that both halves of a batch agree.

    Args:
      world: the functions.
      params: fitted parameters.
      records: one split.

    Returns:
      The records with `outcome` estimated.
    """

    def one(state: Array, action: Array, amount: Array) -> Array:
        def member(p: Params) -> Array:
            return world.outcome(params.scales, p, state, action, amount).now

        return jnp.mean(jax.vmap(member)(params.outcomes), axis=0)

    estimate = jax.jit(jax.vmap(one))(records.states, records.actions, records.amounts)
    return records._replace(outcome=estimate)


def _balanced(
    params: WorldParams, key: Key, states: Array, actions: Array, step: Any
) -> Step:
    """Deals the states to the members at random: one forward pass a state.

    No member gets more than its share, and every state is as likely to meet one member
    as another, also where the batch is no multiple of the members or a single state.
    """
    members = jax.tree.leaves(params.features)[0].shape[0]
    batch = states.shape[0]
    share = -(-batch // members)
    order_key, step_key = jax.random.split(key)
    # Slots that remain free repeat state 0; nobody reads them.
    slots = jax.random.permutation(order_key, members * share)[:batch]
    dealt = jnp.zeros(members * share, jnp.int32)
    dealt = dealt.at[slots].set(jnp.arange(batch, dtype=jnp.int32))
    keys = jax.random.split(step_key, (members, share))

    def member_step(features: Params, outcomes: Params, keys: Key, rows: Array) -> Step:
        def one(k: Key, s: Array, a: Array) -> Step:
            return step(params, (features, outcomes), k, s, a)

        return jax.vmap(one)(keys, states[rows], actions[rows])

    rows = dealt.reshape((members, share))
    out = jax.vmap(member_step)(params.features, params.outcomes, keys, rows)
    return jax.tree.map(
        lambda x: x.reshape((members * share, *x.shape[2:]))[slots], out
    )


def _responsive(space: Space) -> bool:
    """Whether every channel has exactly one dose average to respond to."""
    return len(_dose_pairs(space)) == 1 and len(space.channels) == 1


def _dose_pairs(space: Space) -> list[tuple[int, int]]:
    """Tracked indices (running average, that average at the last draw)."""
    pairs = []
    for k, item in enumerate(space.tracked):
        if item.rule == "average_at_measurement":
            for j, other in enumerate(space.tracked):
                if other.rule == "average" and other.half_life == item.half_life:
                    pairs.append((j, k))
    return pairs


def _last_value_index(space: Space) -> list[int | None]:
    """State index of each channel's last measured value, None where not in the state."""
    index: list[int | None] = []
    for channel in space.channels:
        found = [
            space.num_stored + k
            for k, item in enumerate(space.tracked)
            if item.rule == "last" and item.channel == channel
        ]
        index.append(found[0] if found else None)
    return index


def _base(scales: Scales, bases: list[int | None], state: Array) -> Array:
    """Last measured values [C] on the channels' scale; zero where not in the state."""
    out = []
    for c, index in enumerate(bases):
        if index is None:
            out.append(jnp.zeros((), state.dtype))
            continue
        s, ch = scales.state, scales.channel
        lifted = state[index] * s.std[index] + s.mean[index]
        out.append((lifted - ch.mean[c]) / ch.std[c])
    return jnp.stack(out) if out else jnp.zeros(0)


def _standardise(scales: Scales, stored: int, tracked: Array) -> Array:
    tail = jax.tree.map(lambda x: x[stored:], scales.state)
    return type(scales.state)(*tail).apply(tracked)
