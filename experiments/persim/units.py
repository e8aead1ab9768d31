"""Units of the study: a simulator fitted with one seed, and what all of them need."""

import dataclasses
import functools
import json
import pathlib
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from data_prep import control as control_data
from experiments.config import claim
from experiments.persim import judging, methods
from experiments.persim import logs as logs_lib
from experiments.persim.config import METHODS, Config
from experiments.persim.logs import Cohort
from experiments.persim.methods import Model
from experiments.persim.summary import ALONE, PERSONAL
from omgrl_jax.models import planner
from omgrl_jax.models.planner import Planner
from omgrl_jax.runtime import parameters
from omgrl_jax.types import Params

# The order fixes what each seed draws: new ones come last.
_PURPOSES = (
    "fit",
    "predict",
    "control",
    "unseen",
    "behaviour",
    "world",
    "imagine",
    "learn",
)


class Unit(NamedTuple):
    """One simulator fitted with one seed, or planning with the true physics.

    Attributes:
      method: which; "truth" for the true physics.
      count: number of agents to learn from.
      seed: the seed.
    """

    method: str
    count: int
    seed: int

    @property
    def name(self) -> str:
        """What its files are called."""
        return f"{self.method}_{self.count}_{self.seed}"

    def key(self, purpose: str) -> jax.Array:
        """A key by seed and purpose, so that all methods meet the same episodes."""
        number = _PURPOSES.index(purpose)
        return jax.random.fold_in(jax.random.key(self.seed), number)


class Ready(NamedTuple):
    """What every unit needs.

    Attributes:
      config: the settings.
      cohort: the agents.
      world: what they live in.
      scales: between raw states and what networks see.
      models: method -> functions, made once so that they are compiled once.
      seen: numbers of the agents whom fits may use, the judged ones first.
      unseen: numbers of the others.
      out: where results are kept.
    """

    config: Config
    cohort: Cohort
    world: judging.World
    scales: judging.Scales
    models: dict[str, Model]
    seen: np.ndarray
    unseen: np.ndarray
    out: pathlib.Path

    @property
    def judged(self) -> np.ndarray:
        """Numbers of the agents on whom simulators are judged."""
        return np.arange(self.config.judged)

    @property
    def planner(self) -> Planner:
        """How agents plan."""
        actions = self.world.task.actions
        if actions.count:
            return planner.shooting(actions, self.config.plan)
        return planner.refining(actions, self.config.cem)

    @property
    def shape(self) -> methods.Shape:
        """What networks are made for."""
        return _shape(self.cohort)

    def physics(self, agents: np.ndarray) -> Any:
        """The true physics of agents, leaves [N]."""
        kind = type(control_data.SETTINGS[self.config.env].judged)
        found = {name: values[agents] for name, values in self.cohort.physics.items()}
        return kind(**{k: jnp.asarray(v, jnp.float32) for k, v in found.items()})


def units(config: Config) -> list[Unit]:
    """All units in order: whole studies of single seeds, one after the other."""
    known = config.agents - config.unseen
    fewer = [name for name in config.count_methods if name in config.methods]
    found = []
    for seed in config.seed_list:
        found.append(Unit("truth", known, seed))
        found += [Unit(name, known, seed) for name in config.methods]
        found += [Unit(name, known, seed) for name in config.learners]
        single = [f"{name}{PERSONAL}" for name in config.personal_learners]
        single += [f"{name}{ALONE}" for name in config.alone_learners]
        found += [Unit(name, known, seed) for name in single]
        found += [Unit(name, count, seed) for count in config.counts for name in fewer]
    return found


def prepare(config: Config, out: pathlib.Path) -> Ready:
    """Makes the logs where they are not there yet, and reads them.

    Args:
      config: settings.
      out: where to write.

    Raises:
      ValueError: if `out` holds another study, or the logs do not do.
    """
    task = control_data.SETTINGS[config.env].task()
    learners = config.learners + config.personal_learners + config.alone_learners
    if learners and not task.actions.count:
        raise ValueError(
            "--learners, --personal_learners, --alone_learners: "
            f"{', '.join(learners)} choose among discrete actions, and those of "
            f"--env={config.env} are continuous; leave all three empty"
        )
    directory = out / "dataset"
    if not (directory / "schema.json").is_file():  # written last
        control_data.write(config.recorded(), directory)
    cohort = logs_lib.load(str(directory), config.past.steps, config.unseen)
    _check_logs(config, cohort, directory)
    claim(out, _shared(config), cohort.hash)
    shape = _shape(cohort)
    models = {
        name: make(shape, config.low_rank, config.past)
        for name, make in methods.MODELS.items()
    }
    models["alone"] = methods.of_each(models["alone"])
    everyone, known = np.arange(config.agents), config.agents - config.unseen
    return Ready(
        config=config,
        cohort=cohort,
        world=judging.World(task, config.past.steps),
        scales=judging.Scales(cohort.scales.state, cohort.changes),
        models=models,
        seen=everyone[:known],
        unseen=everyone[known:],
        out=out,
    )


def _shared(config: Config) -> Config:
    """What all units of a study have in common.

    Units are kept one by one: the same study may have more seeds, methods and numbers
    of agents later.
    """
    return dataclasses.replace(
        config,
        seeds=1,
        first_seed=0,
        methods=METHODS,
        counts=(),
        count_methods=(),
        learners=(),
        personal_learners=(),
        alone_learners=(),
    )


def _shape(cohort: Cohort) -> methods.Shape:
    actions = cohort.actions
    return methods.Shape(
        cohort.num_agents, cohort.state_dim, actions.count, len(actions.low)
    )


def _check_logs(config: Config, cohort: Cohort, directory: pathlib.Path) -> None:
    """Stops where the logs that lie there are not those that the settings describe."""
    made = (cohort.data.schema.simulator or {}).get("run", {})
    wanted = json.loads(json.dumps(dataclasses.asdict(config.recorded())))
    for name, value in wanted.items():
        if name in made and made[name] != value:
            raise ValueError(
                f"{directory} holds logs made with {name}={made[name]}, now {value}; "
                "use another --out, or the settings that they were made with"
            )


def fitted(ready: Ready, unit: Unit) -> Params:
    """The parameters of a unit, fitted and kept where they are not there yet."""
    cohort, alone = ready.cohort, unit.method == "alone"
    rows = logs_lib.of_agents(cohort, ready.seen).agent.size
    agents = ready.judged if alone else ready.seen[: unit.count]

    def fitted_now() -> Params:
        fit = methods.fit_alone if alone else methods.fit
        return fit(
            unit.key("fit"),
            ready.models[unit.method],
            logs_lib.of_agents(cohort, agents),
            max(rows, ready.config.least_rows),
            ready.config.fit,
        )

    path = path_of_fit(ready, unit.name)
    return parameters.kept(path, _template(ready, unit), fitted_now)


def path_of_fit(ready: Ready, name: str) -> pathlib.Path:
    """Where the parameters of a fit are kept."""
    return ready.out / "fits" / f"{name}.npz"


def _template(ready: Ready, unit: Unit) -> Any:
    """The shapes of a unit's parameters."""
    members = (ready.config.fit.elites,)
    shape = (*members, ready.judged.size) if unit.method == "alone" else members

    def init(key: jax.Array) -> Params:
        one = ready.models[unit.method].init
        for _ in shape:
            one = jax.vmap(one)
        return one(jax.random.split(key, shape))

    return jax.eval_shape(init, jax.random.key(0))


def simulators(
    ready: Ready, method: str, params: Params, agents: np.ndarray, told: np.ndarray
) -> tuple[Any, judging.Personalise]:
    """What is known of agents, leaves [N, ...], and how it becomes simulators.

    Args:
      ready: of `prepare`.
      method: which simulators.
      params: their parameters.
      agents: numbers of the agents.
      told: numbers of those of whom the parameters tell: fitted to, or inferred.

    Raises:
      ValueError: if one of them is not in the dataset, or the parameters say nothing of
        them that was learned.
    """
    logs_lib.check_known(ready.cohort, agents)
    strange = np.setdiff1d(agents, told)
    if strange.size and method not in methods.KNOW_NO_AGENT:
        raise ValueError(
            f"agent {strange[0]} was in no fit of '{method}', whose factor for it is "
            "still a random one; infer it from the agent's log (factors.from_logs)"
        )
    model, cohort = ready.models[method], ready.cohort
    if method == "context_aware":
        # The past of an episode comes later: what is known is the encoder.
        known = (params, cohort.changes)
        given = jax.tree.map(
            lambda x: jnp.broadcast_to(x, (agents.size, *x.shape)), known
        )
        return given, _personalise(model)
    nothing = jnp.zeros(cohort.logs.past.shape[1])

    def simulator(params: Params, agent: jax.Array) -> Any:
        return methods.simulator(model, params, cohort.changes, agent, nothing)

    given = jax.jit(jax.vmap(simulator, (None, 0)))(params, jnp.asarray(agents))
    return given, judging.known


@functools.cache
def _personalise(model: Model) -> judging.Personalise:
    def personalise(given: Any, past: jax.Array) -> Any:
        params, changes = given
        return methods.simulator(model, params, changes, jnp.int32(0), past)

    return personalise
