"""Clinical tests of policies on held-out patients: rows for tables and figures."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments import judging
from experiments.task import Task
from omgrl_jax.data import dataset as dataset_lib
from omgrl_jax.evaluation import bedside
from omgrl_jax.evaluation.intervention import rank_correlation
from omgrl_jax.types import Params, Policy

PURPOSE = 83  # folded into a seed: the intervals' resamples
MODES = judging.MODES
SWEEP = np.linspace(-2.0, 2.0, 41)  # standard deviations of the training stays
# A test of sensitivity: the features swept and the drugs whose levels must follow. No
# patient has a low mean pressure and a usual systolic one, so they are swept together
# too.
TESTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "pressure": (("mbp",), ("pressor",)),
    "pressures": (("sbp", "mbp", "dbp"), ("pressor",)),
    "lactate": (("lactate",), ("fluid", "pressor")),
    "lactate_fluid": (("lactate",), ("fluid",)),
}
LIMITS = {"pressure": -0.2, "lactate": 0.2, "used": 7.0, "entropy": 1.5}


class HeldOut(NamedTuple):
    """Decisions of held-out patients.

    Attributes:
      states: [N, S] standardised.
      actions: [N] what clinicians did.
      patients: [N] whose they are.
    """

    states: jax.Array
    actions: np.ndarray
    patients: np.ndarray


def held_out(task: Task) -> HeldOut:
    """Every decision of the test stays."""
    rows = np.asarray(task.test.transitions)
    chosen = task.arrays.split == dataset_lib.SPLITS.index("test")
    patients = np.asarray(task.arrays.patients)[chosen]
    return HeldOut(
        task.test.states[jnp.asarray(rows)],
        np.asarray(task.test.actions)[rows],
        patients[np.asarray(task.test.stay)[rows]],
    )


def require(task: Task) -> None:
    """Stops where the tests cannot be made.

    Args:
      task: the task.

    Raises:
      ValueError: naming what the dataset lacks.
    """
    drugs = [drug.name for drug in task.schema.actions.drugs]
    for features, doses in TESTS.values():
        if missing := [name for name in features if name not in task.space.names]:
            raise ValueError(
                f"the state has no {', '.join(missing)}: clinical tests need pressures "
                "and lactate; use data of data_prep.mimic_sepsis or "
                "data_prep.virtual_sepsis"
            )
        if missing := [name for name in doses if name not in drugs]:
            raise ValueError(
                f"schema.json: actions.drugs lacks {', '.join(missing)}; use data of "
                "data_prep.mimic_sepsis or data_prep.virtual_sepsis, with --actions="
                "levels"
            )


def sweep(
    task: Task,
    policy: tuple[Policy, Params],
    test: str,
    states: jax.Array,
    greedy: bool,
) -> np.ndarray:
    """Dose levels [N, K] while the sign of a test is swept over `SWEEP`."""
    features, drugs = TESTS[test]
    names = [drug.name for drug in task.schema.actions.drugs]
    levels = task.schema.actions.levels(np.arange(task.space.num_actions))
    wanted = levels[:, [names.index(name) for name in drugs]].sum(axis=1)
    return np.asarray(
        bedside.levels_along(
            *policy,
            states,
            tuple(task.space.names.index(name) for name in features),
            jnp.asarray(SWEEP, jnp.float32),
            jnp.asarray(wanted, jnp.float32),
            greedy,
        )
    )


def rows(
    task: Task,
    held: HeldOut,
    name: str,
    policy: tuple[Policy, Params],
    seed: int,
    swept: int,
) -> list[dict[str, Any]]:
    """Clinical tests of one policy, a row for each way of acting.

    Args:
      task: the task.
      held: of `held_out`.
      name: of the policy.
      policy: the policy and its parameters.
      seed: the seed, of the intervals too.
      swept: number of held-out states around which a sign is swept.

    Returns:
      Rows with each sensitivity at the mean state (`pressure`, `lactate`), its size
      there (`pressure_size`: levels more at one deviation above the mean than at one
      below) and around real states (`pressure_real`, with `_low` and `_high`), `used`
      and `entropy` of the actions with theirs, `share_0`, ... of the actions,
      `agreement` with the clinicians, and `passed`: how many of the three tests.
    """
    picked = _spread(held, swept)
    mean = jnp.zeros((1, task.space.state_dim))
    seed_key = jax.random.fold_in(jax.random.key(seed), PURPOSE)
    keys = iter(jax.random.split(seed_key, len(MODES) * (len(TESTS) + 1)))
    log_probs = np.asarray(judging.log_probs(*policy, held.states), np.float64)
    found = []
    for mode in MODES:
        greedy = mode == "greedy"
        row: dict[str, Any] = {"policy": name, "mode": mode, "seed": seed}
        for test in TESTS:
            at_mean = sweep(task, policy, test, mean, greedy)
            one = rank_correlation(SWEEP, at_mean[0])
            size = float(np.interp(1.0, SWEEP, at_mean[0]))
            row[f"{test}_size"] = size - float(np.interp(-1.0, SWEEP, at_mean[0]))
            real = bedside.sensitivity(
                next(keys),
                sweep(task, policy, test, held.states[picked], greedy),
                SWEEP,
                held.patients[picked],
            )
            row |= {test: one, **_interval(f"{test}_real", real)}
        chosen = np.exp(log_probs)
        if greedy:
            chosen = np.eye(log_probs.shape[1])[log_probs.argmax(axis=1)]
        used = bedside.diversity(next(keys), chosen, held.patients)
        row |= _interval("used", used.used) | _interval("entropy", used.entropy)
        row |= {f"share_{a}": float(x) for a, x in enumerate(used.shares)}
        row |= _agreement(log_probs, held.actions, greedy)
        found.append({**row, "passed": float(sum(passes(row).values()))})
    return found


def curves(
    task: Task, name: str, policy: tuple[Policy, Params], seed: int
) -> list[dict[str, Any]]:
    """Mean dose levels along each sweep at the mean state.

    Args:
      task: the task.
      name: of the policy.
      policy: the policy and its parameters.
      seed: the seed.

    Returns:
      A row for each test and point: `deviations` from the mean and `level`.
    """
    mean, found = jnp.zeros((1, task.space.state_dim)), []
    for test in TESTS:
        levels = sweep(task, policy, test, mean, greedy=False)[0]
        same = {"policy": name, "mode": MODES[0], "seed": seed, "test": test}
        points = zip(SWEEP.tolist(), levels.tolist(), strict=True)
        found += [{**same, "deviations": x, "level": y} for x, y in points]
    return found


def passes(row: Mapping[str, Any]) -> dict[str, bool]:
    """Which of the three tests a row passes; sweeps are those at the mean state."""
    diverse = row["used"] >= LIMITS["used"] and row["entropy"] > LIMITS["entropy"]
    return {
        "pressure": row["pressure"] < LIMITS["pressure"],
        "lactate": row["lactate"] > LIMITS["lactate"],
        "diversity": bool(diverse),
    }


def clinicians_row(task: Task, held: HeldOut) -> dict[str, Any]:
    """How diverse the clinicians themselves are."""
    taken = np.eye(task.space.num_actions)[held.actions]
    found = bedside.diversity(jax.random.key(0), taken, held.patients)
    row = {"policy": "clinicians", "mode": "-", "seed": None}
    row |= _interval("used", found.used) | _interval("entropy", found.entropy)
    return row | {f"share_{a}": float(x) for a, x in enumerate(found.shares)}


def _interval(name: str, found: bedside.Interval) -> dict[str, float]:
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}


def _agreement(
    log_probs: np.ndarray, actions: np.ndarray, greedy: bool
) -> dict[str, float]:
    taken = log_probs[np.arange(actions.size), actions]
    same = log_probs.argmax(axis=1) == actions if greedy else np.exp(taken)
    return {"agreement": float(np.mean(same))}


def _spread(held: HeldOut, count: int) -> np.ndarray:
    """Evenly spaced decisions, which is over patients and over hours."""
    size = held.actions.size
    return np.unique(np.linspace(0, size - 1, min(count, size)).round().astype(int))
