"""What the factors hold: virtual patients' true kinetics, which no method sees."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from data_prep import virtual
from experiments.personal_dosing.fitting import Ready
from experiments.truth import population
from omgrl_jax.data import dataset
from omgrl_jax.data.draws import Draws
from omgrl_jax.data.scales import Scales
from omgrl_jax.envs import heparin, kinetics, patients
from omgrl_jax.models.forecaster import PersonalParams
from omgrl_jax.models.personal_outcome import PersonalOutcome
from omgrl_jax.ops import regression
from omgrl_jax.ops.belief import Belief
from omgrl_jax.types import Array, Params

FOLDS = 10
_LONG = 400  # hours; 72 are too few for about one patient in 250
NAMES = {
    "log_slope": "sensitivity (aPTT per heparin)",
    "log_clearance": "clearance",
    "log_volume": "volume",
    "log_baseline": "aPTT without heparin",
    "log_effect": "effect of a usual dose",
    "log_level": "aPTT under a usual dose",
}


class Truth(NamedTuple):
    """Patients of a split as the simulator knows them.

    Attributes:
      parameters: name -> [N], logs.
      features: [N, F] what is observed of them at the start, raw.
    """

    parameters: dict[str, np.ndarray]
    features: np.ndarray


def truth(ready: Ready, split: str = "train") -> Truth:
    """The true kinetics of a split's patients, drawn again from the cohort's seed.

    `log_effect` and `log_level` are those of the steady state under the median of the
    doses that were given, in the patient's usual condition.

    Raises:
      ValueError: if the dataset does not say how its patients were drawn, or those
        drawn are not those of the dataset.
    """
    task = ready.task
    distribution, _ = population(task, shifted=False)
    made_by = (task.schema.simulator or {}).get("run")
    if made_by is None:
        raise ValueError(
            "--dataset: its schema.json does not say with which settings its patients "
            "were drawn (simulator: run); make the cohort again with data_prep.virtual"
        )
    drawn, seen = virtual.true_patients(virtual.Config(**made_by), distribution)
    first = np.cumsum(task.arrays.lengths + 1) - task.arrays.lengths - 1
    recorded = task.arrays.observations[first]
    if not np.allclose(recorded, seen[:, : recorded.shape[1]], rtol=1e-4, atol=1e-4):
        raise ValueError(
            "--dataset: its patients are not those that its seed draws now; make the "
            "cohort again with this version"
        )
    chosen = np.flatnonzero(task.arrays.split == dataset.SPLITS.index(split))
    mine = jax.tree.map(lambda x: x[chosen], drawn)
    given = np.asarray(task.train.amounts[task.train.transitions])
    usual = float(np.median(given[given > 0]))
    effect, level = _steady(distribution, mine, usual)
    return Truth(
        {
            "log_slope": np.asarray(mine.log_slope),
            "log_clearance": np.asarray(mine.log_clearance),
            "log_volume": np.log(mine.volume),
            "log_baseline": np.asarray(mine.log_baseline),
            "log_effect": np.log(effect),
            "log_level": level,
        },
        recorded[chosen],
    )


def _steady(
    distribution: heparin.PatientDistribution, mine: patients.Patient, dose: float
) -> tuple[np.ndarray, np.ndarray]:
    """Rise of log aPTT by a held dose, and the log aPTT reached, [N] each."""

    def one(patient: patients.Patient) -> tuple[Array, Array]:
        usual = patient.set_points
        body = patients.kinetics_of(distribution, patient, usual, jnp.zeros(()))

        def hour(_: Array, concentration: Array) -> Array:
            return kinetics.one_hour(body, concentration, dose).concentration

        concentration = jax.lax.fori_loop(0, _LONG, hour, jnp.zeros(()))
        reached = jnp.log(kinetics.aptt(body, concentration))
        return reached - jnp.log(body.baseline), reached

    effect, level = jax.jit(jax.vmap(one))(jax.tree.map(jnp.asarray, mine))
    return np.asarray(effect), np.asarray(level)


@functools.partial(jax.jit, static_argnums=0)
def after_stays(
    model: PersonalOutcome, scales: Scales, params: PersonalParams, draws: Draws
) -> Array:
    """Factors inferred from whole stays, [M, N, R]."""

    def one(shared: Params, prior: Belief, stay: Draws) -> Array:
        return model.follow(scales, shared, prior, stay)[1].mean

    each = jax.vmap(one, (None, None, 0))
    return jax.vmap(each, (0, 0, None))(params.shared, params.prior, draws)


def probes(
    found: Array, known: Truth, new: Array, new_known: Truth
) -> dict[str, dict[str, float]]:
    """How well a linear probe tells the true kinetics from factors.

    Args:
      found: [M, N, R] factors of training patients.
      known: the truth of these.
      new: [M, K, R] factors of test patients.
      new_known: the truth of those.

    Returns:
      Parameter -> R^2, mean over members. Ten-fold over training patients, whose draws
      the networks were fitted to as well: `whole` of the parameter, and `rest` of what
      the observed features at the start do not tell of it. `new`: of the parameter of
      test patients, the line fitted to training patients.
    """
    x = known.features - known.features.mean(axis=0)
    columns = np.concatenate([np.ones((x.shape[0], 1)), x / (x.std(0) + 1e-9)], axis=1)
    probe = jax.jit(
        jax.vmap(
            functools.partial(regression.cross_validated_r2, folds=FOLDS), (0, None)
        )
    )
    transfer = jax.jit(jax.vmap(regression.transferred_r2, (0, None, 0, None)))
    table = {}
    for name, values in known.parameters.items():
        weights = np.linalg.lstsq(columns, values, rcond=None)[0]
        parts = {"whole": values, "rest": values - columns @ weights}
        table[name] = {
            part: float(jnp.mean(probe(found, jnp.asarray(y, jnp.float32))))
            for part, y in parts.items()
        }
        y, new_y = (jnp.asarray(of.parameters[name]) for of in (known, new_known))
        table[name]["new"] = float(jnp.mean(transfer(found, y, new, new_y)))
    return table
