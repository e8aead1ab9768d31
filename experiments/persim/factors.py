"""What PerSim's latent factors hold: the hidden physics, and agents never seen."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np

from experiments.persim.logs import Cohort, of_agents
from omgrl_jax.models import low_rank
from omgrl_jax.ops import regression
from omgrl_jax.types import Array

FOLDS = 10
# Natural scales of the physics: what the equations of motion are linear in. Of a mass
# it depends: its weight is, what a given torque does to it is linear in 1/mass.
_NATURAL = {
    "length": {"1/length": np.reciprocal},
    "mass": {"mass": np.positive, "1/mass": np.reciprocal},
}


def covariates(cohort: Cohort) -> dict[str, np.ndarray]:
    """The agents' physics on their natural scales, name -> [N]."""
    found = {}
    for name, values in cohort.physics.items():
        for label, scale in _NATURAL.get(name, {name: np.positive}).items():
            found[label] = scale(values)
    return found


def probes(
    params: low_rank.Factors, cohort: Cohort, agents: np.ndarray
) -> dict[str, np.ndarray]:
    """How well a linear probe tells each covariate from the factors.

    Args:
      params: members, leaves [E, ...].
      cohort: the agents.
      agents: numbers of those whom the factors were fitted to.

    Returns:
      Covariate -> [E] R^2, ten-fold.
    """
    probe = jax.jit(
        jax.vmap(
            functools.partial(regression.cross_validated_r2, folds=FOLDS), (0, None)
        )
    )
    # In an order of its own: agents may have been numbered by their physics.
    mixed = np.random.default_rng(0).permutation(agents)
    return {
        name: np.asarray(probe(params.agents[:, mixed], _standard(values[mixed])))
        for name, values in covariates(cohort).items()
    }


def from_logs(
    model: low_rank.LowRank,
    params: low_rank.Factors,
    cohort: Cohort,
    seen: np.ndarray,
    unseen: np.ndarray,
    steps: int,
    ridge: float,
) -> low_rank.Factors:
    """Factors of unseen agents, inferred from the first steps of their logs.

    Args:
      model: the functions.
      params: members, leaves [E, ...].
      cohort: the agents.
      seen: numbers of those whom the factors were fitted to.
      unseen: numbers of the others.
      steps: steps of each log to use, or all there are.
      ridge: weight of the mean of the seen agents.

    Returns:
      `params` with the rows of the unseen agents replaced.
    """
    infer = jax.jit(
        jax.vmap(functools.partial(low_rank.infer, model), (0, 0, None, None, None))
    )
    prior = jnp.mean(params.agents[:, seen], axis=1)
    rows = []
    for agent in unseen:
        log = of_agents(cohort, np.array([agent]))
        # One shape for all, so that one program serves them.
        at = np.minimum(np.arange(steps), log.agent.size - 1)
        log = jax.tree.map(lambda x, at=at: x[at], log)
        counted = jnp.asarray(np.arange(steps) == at)
        example = low_rank.Example(log.agent, log.state, log.action, log.change)
        rows.append(infer(params.shared, prior, example, counted, ridge))
    return _with_rows(params, unseen, jnp.stack(rows, axis=1))


def from_covariates(
    params: low_rank.Factors, cohort: Cohort, seen: np.ndarray, unseen: np.ndarray
) -> low_rank.Factors:
    """Factors of unseen agents, by regression on their physics and its products.

    Args:
      params: members, leaves [E, ...].
      cohort: the agents.
      seen: numbers of those whom the factors were fitted to.
      unseen: numbers of the others.

    Returns:
      `params` with the rows of the unseen agents replaced.
    """
    known = [np.asarray(_standard(x)) for x in covariates(cohort).values()]
    pairs = itertools.combinations_with_replacement(known, 2)
    columns = [np.ones(cohort.num_agents), *known, *(a * b for a, b in pairs)]
    x = jnp.asarray(np.stack(columns, axis=1), jnp.float32)
    fit = jax.vmap(regression.ridge, (None, 1, None), 1)  # factor by factor
    weights = jax.vmap(fit, (None, 0, None))(x[seen], params.agents[:, seen], 1e-6)
    return _with_rows(params, unseen, x[unseen] @ weights)


def _with_rows(
    params: low_rank.Factors, agents: np.ndarray, rows: Array
) -> low_rank.Factors:
    return params._replace(agents=params.agents.at[:, agents].set(rows))


def _standard(values: np.ndarray) -> Array:
    return jnp.asarray((values - values.mean()) / values.std(), jnp.float32)
