"""Suggested doses beside the given ones, over all hours of held-out stays."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.personal_dosing import people, predicting
from experiments.personal_dosing.fitting import Ready
from experiments.personal_dosing.rewards import Goal
from omgrl_jax.evaluation import planning
from omgrl_jax.evaluation.planning import Planning
from omgrl_jax.models import foresight
from omgrl_jax.models.forecaster import Member, PersonalParams
from omgrl_jax.ops.belief import Belief
from omgrl_jax.types import Array, Params


def rows(ready: Ready, goal: Goal, params: PersonalParams) -> list[dict[str, Any]]:
    """Doses that plans begin with, at every recorded hour, by the last aPTT.

    Args:
      ready: of `fitting.prepare`.
      goal: what plans are made for.
      params: of the personal forecaster.

    Returns:
      For each band of the last aPTT: mean dose `given` and `suggested`, and shares of
      hours in which the suggested bin is `lower`, the `same` or `higher`. Bands of
      fewer than eleven patients are left out.
    """
    task, records = ready.task, ready.task.test
    every = np.asarray(records.transitions)
    beliefs = _beliefs(ready, params, every)
    last = predicting.last_values(task, records.states[every])
    last = task.scales.channel.invert(jnp.asarray(last)[:, None])[:, 0]
    before = _actions_before(ready, every)
    suggested = np.asarray(
        _suggest(
            Planning(task.space, ready.config.plan, ready.config.replan),
            ready.personal.outcomes,
            goal.value,
            goal.params,
            task.scales,
            params,
            ready.age,
            beliefs,
            records.states[every],
            last,
            before,
        )
    )
    given = np.asarray(records.actions[every])
    amounts = np.asarray(task.scales.amounts)
    patient = people.of_stays(task, "test")[np.asarray(records.stay)[every]]
    value = np.asarray(last)
    _, low, high = task.space.target or (0, 0.0, 0.0)
    bands = {
        f"below {low:g}": value < low,
        f"{low:g} to {high:g}": (value >= low) & (value <= high),
        f"above {high:g}": value > high,
    }
    found = []
    for band, chosen in bands.items():
        if people.too_few(patient[chosen]):
            continue
        apart = suggested[chosen] - given[chosen]
        shares = {"lower": apart < 0, "same": apart == 0, "higher": apart > 0}
        found.append(
            {
                "band": band,
                "given": float(amounts[given[chosen]].mean()),
                "suggested": float(amounts[suggested[chosen]].mean()),
                **{name: float(share.mean()) for name, share in shares.items()},
            }
        )
    return found


def _actions_before(ready: Ready, rows: np.ndarray) -> Array:
    """The dose bin of the hour before each row [M]; 0 at the start of a stay."""
    records = ready.task.test
    stay, actions = np.asarray(records.stay), np.asarray(records.actions)
    first = rows == np.searchsorted(stay, stay[rows])
    return jnp.asarray(np.where(first, 0, actions[rows - 1]), jnp.int32)


def _beliefs(ready: Ready, params: PersonalParams, rows: np.ndarray) -> Belief:
    """What members believe of the patient at each row, leaves [rows, members, ...]."""
    records, draws = ready.task.test, ready.draws["test"]

    def along(shared: Params, prior: Belief, stay: Any) -> Belief:
        before, after = ready.personal.follow(ready.task.scales, shared, prior, stay)
        return jax.tree.map(lambda a, b: jnp.concatenate([a, b[None]]), before, after)

    each = jax.vmap(along, (None, None, 0))
    every = jax.jit(jax.vmap(each, (0, 0, None)))(params.shared, params.prior, draws)
    measured = np.asarray(records.measured[:, 0]).astype(int)
    stay = np.asarray(records.stay)
    # Reports of earlier steps: that of the row's own step comes at its end.
    so_far = np.cumsum(measured) - measured
    first = np.searchsorted(stay, np.arange(stay[-1] + 1))
    known = so_far - so_far[first][stay]
    return jax.tree.map(
        lambda x: jnp.moveaxis(x[:, stay[rows], known[rows]], 0, 1), every
    )


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _suggest(
    how: Planning,
    outcomes: Any,
    value: Any,
    goal: Params,
    scales: Any,
    params: PersonalParams,
    age: Array,
    beliefs: Belief,
    states: Array,
    last: Array,
    before: Array,
) -> Array:
    given = jnp.asarray(foresight.plans(how.config, how.space.num_actions))
    reward = functools.partial(value, goal, scales)

    def one(row: tuple) -> Array:
        belief, state, last, before = row
        members = Member(params.shared, belief, params.population)
        foreseen = foresight.foresee(
            how.space, outcomes, scales, members, age, state, given
        )
        return planning.chosen(how, reward, scales, foreseen, given, last, before)

    return jax.lax.map(one, (beliefs, states, last, before), batch_size=64)
