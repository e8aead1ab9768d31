"""Model predictive control of virtual patients: plan, give one dose, look again."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from omgrl_jax.data.scales import Scales
from omgrl_jax.data.space import Space
from omgrl_jax.envs import heparin, recording, stays
from omgrl_jax.evaluation import simulation
from omgrl_jax.models import foresight
from omgrl_jax.models.forecaster import Draw, Forecaster
from omgrl_jax.models.foresight import Foreseen, Reward
from omgrl_jax.types import Array, Key, Params

QUANTILES = 9  # so that chances, as of exceeding the limit, come in ninths


class Planning(NamedTuple):
    """What planning depends on beside arrays; static.

    Attributes:
      space: the task.
      config: how plans are made.
      replan: hours for which a dose is given before it is planned anew.
    """

    space: Space
    config: foresight.Config
    replan: int


class Chart(NamedTuple):
    """What is carried from hour to hour of one patient.

    Attributes:
      observer: the recorder.
      state: [S] state of the hour before.
      memory: what the forecaster knows of the patient.
      action: [] dose bin of the hour before; the lowest, 0, at the start.
      hour: [] hours since the start.
    """

    observer: simulation.Observer
    state: Array
    memory: Any
    action: Array
    hour: Array


def policy(
    planning: Planning,
    forecaster: Forecaster,
    reward: Reward,
    scales: Scales,
    params: Params,
    age: Array,
) -> stays.Policy:
    """Doses by planning with a forecaster.

    Args:
      planning: how.
      forecaster: who foresees the channel.
      reward: of standardised values of the channel.
      scales: the training scales.
      params: of the forecaster.
      age: see `foresight.foresee`.

    Returns:
      The policy; it looks at observations alone.
    """
    space = planning.space

    def reset(key: Key, seen: heparin.Observation) -> Chart:
        del key
        return _begin(space, forecaster.start(params), seen)

    def act(
        chart: Chart, key: Key, seen: heparin.Observation, patient: Any
    ) -> tuple[Chart, stays.Order]:
        del key, patient
        observer = chart.observer
        state, tracked = simulation.observe(space, scales, observer, seen)
        value = scales.channel.apply(seen.channel_value)[0]
        draw = Draw(chart.state, observer.amount, value, seen.channel_censored[0])
        after = forecaster.learn(scales, params, chart.memory, draw)
        # A value from before the first hour says what no dose of ours did.
        news = seen.channel_measured[0] & ~observer.first
        memory = jax.tree.map(lambda a, b: jnp.where(news, a, b), after, chart.memory)
        given = jnp.asarray(foresight.plans(planning.config, space.num_actions))
        foreseen = foresight.foresee(
            space,
            forecaster.outcomes,
            scales,
            forecaster.members(params, memory),
            age,
            state,
            given,
        )
        last = seen.channel_value[0]
        action = chosen(planning, reward, scales, foreseen, given, last, chart.action)
        return _order(planning, scales, chart, tracked, state, memory, action)

    return stays.Policy(reset, act)


def omniscient(
    planning: Planning,
    physiology: heparin.PatientDistribution,
    reward: Reward,
    scales: Scales,
) -> stays.Policy:
    """The same planning with the true kinetics of the patient and without any doubt.

    It is no bound: the patient's condition is taken to stay as it is now, plans end
    after the horizon, and each compares a few held doses.

    Args:
      planning: how.
      physiology: what happens to patients.
      reward: of standardised values of the channel.
      scales: the training scales.

    Returns:
      The policy; it looks at the patient.
    """
    space = planning.space

    def reset(key: Key, seen: heparin.Observation) -> Chart:
        del key
        return _begin(space, (), seen)

    def act(
        chart: Chart, key: Key, seen: heparin.Observation, patient: Any
    ) -> tuple[Chart, stays.Order]:
        del key
        state, tracked = simulation.observe(space, scales, chart.observer, seen)
        given = jnp.asarray(foresight.plans(planning.config, space.num_actions))
        along = jax.vmap(
            lambda plan: heparin.true_aptt_under(physiology, patient, plan)
        )
        aptt = along(scales.amounts[given])
        mean = scales.channel.apply(aptt[None, ..., None])[..., 0]
        foreseen = Foreseen(mean, jnp.zeros(mean.shape))
        last = recording.true_aptt(physiology, patient)
        action = chosen(planning, reward, scales, foreseen, given, last, chart.action)
        return _order(planning, scales, chart, tracked, state, (), action)

    return stays.Policy(reset, act)


def chosen(
    planning: Planning,
    reward: Reward,
    scales: Scales,
    foreseen: Foreseen,
    given: Array,
    last: Array,
    before: Array,
) -> Array:
    """The action [] with which the best permitted plan begins.

    Args:
      planning: how.
      reward: of standardised values of the channel.
      scales: the training scales.
      foreseen: what the plans lead to.
      given: [K, H] the plans.
      last: [] last measured value, raw.
      before: [] action of the hour before.
    """
    config = planning.config
    earned = foresight.scores(config, scales, reward, foreseen, QUANTILES)
    permitted = foresight.allowed(config, scales, last, before)
    return foresight.best(earned, given, permitted)


def _begin(space: Space, memory: Any, seen: heparin.Observation) -> Chart:
    """The chart of a patient just admitted."""
    observer = simulation.start_observer(space, seen)
    nothing = jnp.zeros(space.state_dim)
    return Chart(observer, nothing, memory, jnp.int32(0), jnp.int32(0))


def _order(
    planning: Planning,
    scales: Scales,
    chart: Chart,
    tracked: Array,
    state: Array,
    memory: Any,
    action: Array,
) -> tuple[Chart, stays.Order]:
    due = chart.hour % planning.replan == 0
    action = jnp.where(due, action, chart.action)
    dose = scales.amounts[action]
    observer = simulation.Observer(tracked, dose, jnp.bool_(False))
    order = stays.Order(infusion=dose, bolus=jnp.zeros_like(dose))
    return Chart(observer, state, memory, action, chart.hour + 1), order
