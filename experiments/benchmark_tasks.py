"""Public benchmarks: how their logs are made and how their policies are judged.

A policy comes as a function from raw observations [N, F] to probabilities [N, A], so
that learned policies, known ones and simple ones are judged alike.
"""

import functools
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from data_prep import cartpole as cartpole_logs
from data_prep import icu_sepsis as sepsis_logs
from omgrl_jax.data import dataset
from omgrl_jax.envs import cartpole, icu_sepsis
from omgrl_jax.evaluation import tabular

Probabilities = Callable[[np.ndarray], np.ndarray]

# Apart from the seeds of the logs, which are drawn among 2^31.
_FIRST_SEED = 10_000


class Score(NamedTuple):
    """What a policy earns.

    Attributes:
      value: its expected return.
      error: standard error of that; 0 where the value is exact.
    """

    value: float
    error: float


class Published(NamedTuple):
    """A figure to compare with.

    Attributes:
      policy: whose it is.
      value: the return.
      source: where it stands.
    """

    policy: str
    value: float
    source: str


class Benchmark(NamedTuple):
    """A benchmark.

    Attributes:
      write: `(directory)`, makes its logs with the default settings.
      environment: what `simulator.environment` says in the schema of its logs.
      judge: `(policy, episodes, seed) -> Score`; an exact judge ignores the last two.
      references: `() ->` policies that are known: name -> probabilities.
      published: figures to compare with.
      world: whether a world model can be fitted to its states.
    """

    write: Callable[[pathlib.Path], Any]
    environment: str
    judge: Callable[[Probabilities, int, int], Score]
    references: Callable[[], dict[str, Probabilities]]
    published: tuple[Published, ...]
    world: bool


def greedy(policy: Probabilities) -> Probabilities:
    """The policy that always takes the most likely action."""

    def chosen(observations: np.ndarray) -> np.ndarray:
        table = policy(observations)
        return np.eye(table.shape[1])[table.argmax(axis=1)]

    return chosen


def constant(probabilities: np.ndarray) -> Probabilities:
    """A policy that ignores what it sees, from its probabilities [A]."""
    return lambda observations: np.tile(probabilities, (len(observations), 1))


def play_cartpole(policy: Probabilities, episodes: int, seed: int) -> Score:
    """Mean return in Gymnasium's environment.

    Args:
      policy: the policy.
      episodes: episodes to play; the first states are the same for every policy.
      seed: seed of its draws.

    Returns:
      The mean, 500 at most.
    """
    rng = np.random.default_rng(seed)

    def act(observations: np.ndarray) -> np.ndarray:
        # Two actions: the second one where a uniform number falls above the first.
        return rng.random(len(observations)) >= policy(observations)[:, 0]

    played = cartpole.play(act, range(_FIRST_SEED, _FIRST_SEED + episodes))
    returns = np.array([episode.rewards.sum() for episode in played])
    spread = returns.std(ddof=1) if episodes > 1 else np.nan
    return Score(float(returns.mean()), float(spread / np.sqrt(episodes)))


def solve_sepsis(policy: Probabilities, episodes: int = 0, seed: int = 0) -> Score:
    """Exact probability that a patient survives, without a discount.

    Args:
      policy: the policy.
      episodes: ignored.
      seed: ignored.

    Returns:
      The value.
    """
    del episodes, seed
    table = np.asarray(policy(np.eye(icu_sepsis.STATES, dtype=np.float32)), np.float64)
    # Probabilities of float32 sum to one within 1e-6 only.
    table /= table.sum(axis=1, keepdims=True)
    return Score(tabular.value(_sepsis().process, table), 0.0)


def _cartpole_references() -> dict[str, Probabilities]:
    return {
        "expert": cartpole.expert,
        "random": constant(np.full(2, 0.5)),
    }


def _sepsis_references() -> dict[str, Probabilities]:
    best, _ = tabular.optimum(_sepsis().process)
    return {
        "optimal": lambda observations: observations @ best,
        "clinicians": lambda observations: observations @ _sepsis().clinicians,
        "random": constant(np.full(icu_sepsis.ACTIONS, 1 / icu_sepsis.ACTIONS)),
    }


@functools.cache
def _sepsis() -> icu_sepsis.Sepsis:
    return icu_sepsis.load()


def check(benchmark: Benchmark, schema: dataset.Schema) -> None:
    """Stops where logs are not of the benchmark.

    Args:
      benchmark: the benchmark.
      schema: the logs' schema.

    Raises:
      ValueError: naming the environments.
    """
    found = (schema.simulator or {}).get("environment")
    if found != benchmark.environment:
        raise ValueError(
            f"--dataset: '{schema.name}' comes from {found or 'no environment'}, the "
            f"task is {benchmark.environment}; leave --dataset out to have logs made"
        )


_SEPSIS_SOURCE = "arXiv 2406.05646; README of icu-sepsis 2.0.1"
BENCHMARKS = {
    "cartpole": Benchmark(
        write=functools.partial(cartpole_logs.write, cartpole_logs.Config()),
        environment=cartpole.NAME,
        judge=play_cartpole,
        references=_cartpole_references,
        published=(
            Published(
                "iq_learn, 1 demonstration, every 20th step, best evaluation",
                500.0,
                "README of github.com/Div99/IQ-Learn (arXiv 2106.12142)",
            ),
        ),
        world=True,
    ),
    "icu_sepsis": Benchmark(
        write=functools.partial(sepsis_logs.write, sepsis_logs.Config()),
        environment=icu_sepsis.NAME,
        judge=solve_sepsis,
        references=_sepsis_references,
        published=(
            Published("optimal", 0.88, _SEPSIS_SOURCE),
            Published("clinicians", 0.78, _SEPSIS_SOURCE),
            Published("random", 0.78, _SEPSIS_SOURCE),
        ),
        world=False,
    ),
}
