"""Patients as agents: the outcome of one patient, by a latent vector of its own.

PerSim (NeurIPS 2021, Section 4) writes the change of a state feature of agent n as
`sum_k u[n, k] a_k(action) g_k(state)`. The feature here is the channel, from its last
measured value to the next; the dose acts through the change c of its running average
since the last draw, so that the action factor is linear in it, `a_k = (1, c)`:

    value = last + sum_k u[n, k] (level_k(state) + slope(state) weight_k(state) c)

with u[n, 0] = weight_0 = 1 and a positive slope: a patient's factors shift the level
and scale the sensitivity. A patient has a handful of noisy measurements, too few to fit
a vector to: u[n] has a normal prior and is integrated out while the networks are
fitted, so that each measurement is foretold from the patient's earlier ones, as it will
be at the bedside (`personal_fit`, which can fit it freely as well, as published).

The last value is a measurement itself: its error is in two neighbouring residuals with
opposite signs, so these are correlated by about -.25, while beliefs take them to be
independent. Beliefs are a little too sure for it.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from omgrl_jax import networks
from omgrl_jax.data.draws import Draws
from omgrl_jax.data.scales import Scales
from omgrl_jax.data.space import Space
from omgrl_jax.models import outcome as outcome_lib
from omgrl_jax.ops import belief as belief_lib
from omgrl_jax.ops import likelihood
from omgrl_jax.ops.belief import Belief
from omgrl_jax.types import Array, Key, Params

# Heparin never shortens aPTT, whatever a few noisy measurements say of a patient.
_LEAST = 0.2


@dataclasses.dataclass(frozen=True)
class Config:
    """Shape of the factors.

    Attributes:
      rank: latent factors of each patient; where it is more than a stay can tell, the
        prior decides.
      hidden: widths of the network of the state factors.
    """

    rank: int = dataclasses.field(default=2, metadata={"min": 1})
    hidden: tuple[int, ...] = (32, 32)


class Response(NamedTuple):
    """How the channel depends on the patient's factors u, at one state and dose.

    Attributes:
      level: [] value without any change of the dose, for u = 0.
      levels: [R] its derivative by u.
      slope: [] effect of a change of the dose average for u = 0, above zero.
      weights: [R] share by which u raises it.
      now: [] change of the dose average since the last draw, at the end of the step.
      drawn: [] the same when blood is drawn that is reported at the end of the step.
      noise: [] variance of a measurement for known u.
    """

    level: Array
    levels: Array
    slope: Array
    weights: Array
    now: Array
    drawn: Array
    noise: Array

    def measured(self) -> tuple[Array, Array]:
        """What a measurement shows for u = 0 [], and its derivative by u [R]."""
        effect = self.slope * self.drawn
        return self.level + effect, self.levels + effect * self.weights

    def value(self, u: Array, change: Array) -> Array:
        """The value [] for a patient's u [R] after a change [] of the dose average.

        Plans alone ask for it: no patient's response falls below a fifth of the usual
        one. Learning and foretelling of measurements stay linear in u, without it.
        """
        share = jnp.maximum(1.0 + self.weights @ u, _LEAST)
        return self.level + self.levels @ u + self.slope * share * change


class Member(NamedTuple):
    """What one member of the ensemble knows of one patient.

    Attributes:
      shared: parameters of the network.
      belief: of the patient's factors.
      population: parameters of the population's outcome network, which says when blood
        is drawn.
    """

    shared: Params
    belief: Belief
    population: Params


class PersonalOutcome(NamedTuple):
    """One member as pure functions.

    Attributes:
      init: `(key) -> shared`.
      respond: `(scales, shared, state [S], amount []) -> Response`.
      learn: `(scales, shared, belief, state, amount, value, censored) -> belief` after
        a measurement.
      follow: `(scales, shared, belief, draws [D]) -> (beliefs [D, ...] before each
        draw, belief after all)`.
      foretell: `(scales, shared, beliefs [D, ...], draws [D]) -> (means [D], variances
        [D])` of measurements.
      loss: `(scales, shared, prior, draws [D]) -> []`, how surprising a stay's
        measurements are, each foretold from those before it.
      outcomes: the networks of a world, `Member` their parameters.
    """

    init: Callable[[Key], Params]
    respond: Callable[..., Response]
    learn: Callable[..., Belief]
    follow: Callable[..., tuple[Belief, Belief]]
    foretell: Callable[..., tuple[Array, Array]]
    loss: Callable[[Scales, Params, Belief, Draws], Array]
    outcomes: outcome_lib.Outcomes


def make(
    config: Config, space: Space, population: outcome_lib.Outcomes
) -> PersonalOutcome:
    """Builds the functions.

    Args:
      config: shape of the factors.
      space: the task.
      population: outcome networks of all patients.

    Returns:
      The functions.

    Raises:
      ValueError: unless the state tells the last value and dose average of one channel.
    """
    init, respond = _network(config, space)

    def learn(
        scales: Scales,
        shared: Params,
        belief: Belief,
        state: Array,
        amount: Array,
        value: Array,
        censored: Array,
    ) -> Belief:
        said = respond(scales, shared, state, amount)
        usual, row = said.measured()
        return belief_lib.update(belief, row, said.noise, value - usual, censored)

    def follow(
        scales: Scales, shared: Params, belief: Belief, draws: Draws
    ) -> tuple[Belief, Belief]:
        rows = (draws.value, draws.censored, draws.there)
        shown = _shown(respond, scales, shared, draws)
        after, before = jax.lax.scan(_after, belief, (*shown, *rows))
        return before, after

    def foretell(
        scales: Scales, shared: Params, beliefs: Belief, draws: Draws
    ) -> tuple[Array, Array]:
        usual, rows, noise = _shown(respond, scales, shared, draws)
        mean, variance = jax.vmap(belief_lib.foretell)(beliefs, rows, noise)
        return usual + mean, variance

    def loss(scales: Scales, shared: Params, prior: Belief, draws: Draws) -> Array:
        before, _ = follow(scales, shared, prior, draws)
        mean, variance = foretell(scales, shared, before, draws)
        nll = jax.vmap(belief_lib.surprise)(mean, variance, draws.value, draws.censored)
        bounds = jnp.sum(shared["high"] - shared["low"])
        return jnp.mean(jnp.where(draws.there, nll, 0.0)) + 1e-4 * bounds

    outcomes = _outcomes(respond, population)
    return PersonalOutcome(init, respond, learn, follow, foretell, loss, outcomes)


def _network(
    config: Config, space: Space
) -> tuple[Callable[[Key], Params], Callable[..., Response]]:
    """`init` and `respond` of `PersonalOutcome`; `make` says what is raised."""
    pairs = outcome_lib.dose_pairs(space)
    last = outcome_lib.last_value_index(space)
    if len(space.channels) != 1 or len(pairs) != 1 or last == [None]:
        raise ValueError(
            "personal outcomes need one measured channel, whose last value, a running "
            "dose average and that average at the last draw stand in the state (such "
            f"as 'history'); this one has the channels {list(space.channels)} and "
            f"tracks {[item.name for item in space.tracked]}"
        )
    network = networks.MLP(config.hidden, 2 * config.rank + 3)

    def init(key: Key) -> Params:
        return {
            "net": network.init(key, jnp.zeros(space.state_dim)),
            "low": jnp.full(1, -8.0),
            "high": jnp.full(1, 2.0),
        }

    def respond(
        scales: Scales, shared: Params, state: Array, amount: Array
    ) -> Response:
        _, change, drawn = outcome_lib.dose_changes(space, pairs, scales, state, amount)
        out = networks.apply(network, shared["net"], state)
        levels, weights = jnp.split(out[3:], 2)
        last_value = outcome_lib.last_values(scales, last, state)[0]
        log_var = likelihood.soft_clamp(out[2:3], shared["low"], shared["high"])
        return Response(
            level=last_value + out[0],
            levels=levels,
            slope=jax.nn.softplus(out[1]),
            weights=weights,
            now=change[0],
            drawn=drawn[0],
            noise=jnp.exp(log_var[0]),
        )

    return init, respond


def _after(belief: Belief, seen: tuple[Array, ...]) -> tuple[Belief, Belief]:
    """The beliefs after and before a draw, which may not be there."""
    usual, row, noise, value, censored, there = seen
    after = belief_lib.update(belief, row, noise, value - usual, censored)
    return jax.tree.map(lambda a, b: jnp.where(there, a, b), after, belief), belief


def _shown(
    respond: Callable[..., Response], scales: Scales, shared: Params, draws: Draws
) -> tuple[Array, Array, Array]:
    """What each draw shows for u = 0 [D], its derivatives [D, R] and noise [D]."""

    def one(state: Array, amount: Array) -> tuple[Array, Array, Array]:
        said = respond(scales, shared, state, amount)
        return *said.measured(), said.noise

    return jax.vmap(one)(draws.state, draws.amount)


def _outcomes(
    respond: Callable[..., Response], population: outcome_lib.Outcomes
) -> outcome_lib.Outcomes:
    """The patient's outcome as the outcome networks of a world."""

    def predict(
        scales: Scales, member: Member, state: Array, action: Array, amount: Array
    ) -> outcome_lib.Outcome:
        said = respond(scales, member.shared, state, amount)
        belief = member.belief
        _, variance = belief_lib.foretell(belief, said.measured()[1], said.noise)
        usual = population.predict(scales, member.population, state, action, amount)
        return outcome_lib.Outcome(
            now=said.value(belief.mean, said.now)[None],
            mean=said.value(belief.mean, said.drawn)[None],
            log_var=jnp.log(variance)[None],
            logit=usual.logit,
        )

    def never(*_: Any) -> Any:
        raise NotImplementedError("a patient's world is inferred, not fitted")

    return outcome_lib.Outcomes(never, predict, never)
