"""The study: units that are fitted and judged one after the other, each kept."""

import functools
import json
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import tqdm

from data_prep import control as control_data
from experiments.config import claim
from experiments.persim import factors, judging, methods
from experiments.persim import logs as logs_lib
from experiments.persim.config import Config
from experiments.persim.logs import Cohort
from experiments.persim.methods import Model
from omgrl_jax.models import low_rank
from omgrl_jax.runtime import parameters, storage
from omgrl_jax.types import Params

Row = dict[str, Any]


class Unit(NamedTuple):
    """One simulator fitted with one seed, or planning in the true world.

    Attributes:
      method: which; "truth" for the true world.
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


def units(config: Config) -> list[Unit]:
    """All units in order: whole studies of single seeds, one after the other."""
    known = config.agents - config.unseen
    found = []
    for seed in config.seed_list:
        found.append(Unit("truth", known, seed))
        found += [Unit(name, known, seed) for name in config.methods]
        found += [
            Unit(name, count, seed)
            for count in config.counts
            for name in config.count_methods
        ]
    return found


def prepare(config: Config, out: pathlib.Path) -> Ready:
    """Makes the logs where they are not there yet, and reads them.

    Args:
      config: settings.
      out: where to write.

    Raises:
      ValueError: if `out` holds another study, or the logs do not do.
    """
    directory = out / "dataset"
    if not (directory / "schema.json").is_file():  # written last
        control_data.write(config.recorded(), directory)
    cohort = logs_lib.load(str(directory), config.past.steps)
    claim(out, config, cohort.hash)
    shape = methods.Shape(cohort.num_agents, cohort.state_dim, cohort.num_actions)
    models = {
        name: make(shape, config.low_rank, config.past)
        for name, make in methods.MODELS.items()
    }
    models["alone"] = methods.of_each(models["alone"])
    everyone, known = np.arange(config.agents), config.agents - config.unseen
    return Ready(
        config=config,
        cohort=cohort,
        world=judging.World(
            control_data.SETTINGS[config.env].task(), config.past.steps
        ),
        scales=judging.Scales(cohort.scale, cohort.changes),
        models=models,
        seen=everyone[:known],
        unseen=everyone[known:],
        out=out,
    )


def run(config: Config, out: pathlib.Path) -> pd.DataFrame:
    """Fits and judges what is not there yet.

    Args:
      config: settings.
      out: where to write: `dataset/`, `fits/` and `units/`.

    Returns:
      A row for each figure: section ("prediction", "return", "probe", "unseen"),
      method, count, seed, agent (-1 for all), measure, value.

    Raises:
      ValueError: if `out` holds another study.
    """
    ready = prepare(config, out)
    rows: list[Row] = []
    with tqdm.tqdm(units(config), "simulators", disable=None) as bar:
        for unit in bar:
            bar.set_postfix_str(unit.name)
            path = out / "units" / f"{unit.name}.json"
            if not path.is_file():
                found = pd.DataFrame(judge(ready, unit))
                storage.atomic_write(path, found.to_json(orient="records"))
            rows += json.loads(path.read_text())
    return pd.DataFrame(rows)


class Factors(NamedTuple):
    """PerSim's factors beside the hidden physics.

    Attributes:
      agents: [N, R] of one member.
      covariates: name -> [N], on their natural scales.
    """

    agents: np.ndarray
    covariates: dict[str, np.ndarray]


def factors_of_first_seed(config: Config, out: pathlib.Path) -> Factors | None:
    """What PerSim learned of the agents it was fitted to; None without PerSim.

    Args:
      config: settings of a study that is complete.
      out: where it lies.
    """
    if "persim" not in config.methods:
        return None
    ready = prepare(config, out)
    first = Unit("persim", ready.seen.size, config.first_seed)
    params = fitted(ready, first)
    physics = factors.covariates(ready.cohort)
    return Factors(
        np.asarray(params.agents[0][ready.seen]),
        {name: values[ready.seen] for name, values in physics.items()},
    )


def judge(ready: Ready, unit: Unit) -> list[Row]:
    """Fits one unit, where it is not there yet, and judges it."""
    if unit.method == "truth":
        earned = judging.control_in_truth(
            ready.world,
            ready.config.judge,
            ready.config.plan,
            _key(unit, "control"),
            _judged_physics(ready),
            ready.scales,
        )
        return _returns(unit, earned)
    params = fitted(ready, unit)
    rows = _judged(ready, unit, params)
    whole = unit.count == ready.seen.size
    if unit.method == "persim" and whole:
        rows += _judged(
            ready,
            unit._replace(method="persim_average"),
            methods.averaged(params, ready.seen),
        )
        for name, values in factors.probes(params, ready.cohort, ready.seen).items():
            rows.append(_row("probe", unit, -1, name, float(np.mean(values))))
        if ready.unseen.size:
            rows += _unseen(ready, unit, params)
    return rows


def fitted(ready: Ready, unit: Unit) -> Params:
    """The parameters of a unit, fitted and kept where they are not there yet."""
    config, cohort = ready.config, ready.cohort
    path = ready.out / "fits" / f"{unit.name}.npz"
    judged = len(control_data.SETTINGS[config.env].judged[0])
    alone = unit.method == "alone"
    agents = ready.seen[: judged if alone else unit.count]
    logs = logs_lib.of_agents(cohort, agents)
    if not alone:
        # Fewer agents are met more often: as many steps of training, one program.
        rows = np.resize(np.arange(logs.agent.size), _rows_of_all(ready))
        logs = jax.tree.map(lambda x: x[rows], logs)
    key, model = _key(unit, "fit"), ready.models[unit.method]
    fit: Callable[..., Params] = methods.fit_alone if alone else methods.fit
    run = functools.partial(fit, model=model, logs=logs, config=config.fit)
    if path.is_file():
        return parameters.load(path, _template(ready, unit, judged))
    params = run(key, progress=None)
    parameters.save(path, params)
    return params


def _rows_of_all(ready: Ready) -> int:
    return int((np.asarray(ready.cohort.logs.agent) < ready.seen.size).sum())


def _template(ready: Ready, unit: Unit, judged: int) -> Any:
    """The shapes of a unit's parameters."""
    members = ready.config.fit.elites
    shape = (members, judged) if unit.method == "alone" else (members,)

    def init(key: jax.Array) -> Params:
        one = ready.models[unit.method].init
        for _ in shape:
            one = jax.vmap(one)
        return one(jax.random.split(key, shape))

    return jax.eval_shape(init, jax.random.key(0))


def _judged(ready: Ready, unit: Unit, params: Params) -> list[Row]:
    """Prediction and planning for the judged agents."""
    config, world, scales = ready.config, ready.world, ready.scales
    method = unit.method.removesuffix("_average")
    physics = _judged_physics(ready)
    given, personalise = _simulators(ready, method, params, np.arange(5))
    accuracy = judging.predict(
        world, personalise, config.judge, _key(unit, "predict"), physics, given, scales
    )
    rows = []
    for measure, values in accuracy._asdict().items():
        for agent, value in enumerate(np.asarray(values)):
            rows.append(_row("prediction", unit, agent, measure, float(value)))
    earned = judging.control(
        world,
        personalise,
        config.judge,
        config.plan,
        _key(unit, "control"),
        physics,
        given,
        scales,
    )
    return rows + _returns(unit, earned)


def _unseen(ready: Ready, unit: Unit, params: Params) -> list[Row]:
    """Prediction for agents whose factors come from elsewhere."""
    config, cohort = ready.config, ready.cohort
    shape = methods.Shape(cohort.num_agents, cohort.state_dim, cohort.num_actions)
    model = low_rank.make(config.low_rank, *shape)
    given = (params, cohort, ready.seen, ready.unseen)
    ways = {
        "from_log": factors.from_logs(model, *given, config.unseen_steps, config.ridge),
        "from_covariates": factors.from_covariates(*given),
        "average": methods.averaged(params, ready.seen),
    }
    physics = _physics(ready, ready.unseen)
    rows = []
    for way, found in ways.items():
        given, personalise = _simulators(ready, "persim", found, ready.unseen)
        accuracy = judging.predict(
            ready.world,
            personalise,
            config.judge,
            _key(unit, "unseen"),
            physics,
            given,
            ready.scales,
        )
        for measure, values in accuracy._asdict().items():
            for agent, value in zip(ready.unseen, np.asarray(values), strict=True):
                row = _row("unseen", unit, int(agent), measure, float(value))
                rows.append({**row, "method": way})
    return rows


def _simulators(
    ready: Ready, method: str, params: Params, agents: np.ndarray
) -> tuple[Any, judging.Personalise]:
    """What is known of agents, leaves [N, ...], and how it becomes simulators."""
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


def _judged_physics(ready: Ready) -> Any:
    setting = control_data.SETTINGS[ready.config.env]
    return _physics(ready, np.arange(len(setting.judged[0])))


def _physics(ready: Ready, agents: np.ndarray) -> Any:
    kind = type(control_data.SETTINGS[ready.config.env].judged)
    found = {name: values[agents] for name, values in ready.cohort.physics.items()}
    return kind(**{k: jnp.asarray(v, jnp.float32) for k, v in found.items()})


def _key(unit: Unit, purpose: str) -> jax.Array:
    """Keys by seed and purpose: all methods meet the same episodes."""
    number = ("fit", "predict", "control", "unseen").index(purpose)
    return jax.random.fold_in(jax.random.key(unit.seed), number)


def _returns(unit: Unit, earned: jax.Array) -> list[Row]:
    rows = []
    for agent, values in enumerate(np.asarray(earned)):
        rows.append(_row("return", unit, agent, "mean", float(values.mean())))
    return rows


def _row(section: str, unit: Unit, agent: int, measure: str, value: float) -> Row:
    return {
        "section": section,
        "method": unit.method,
        "count": unit.count,
        "seed": unit.seed,
        "agent": agent,
        "measure": measure,
        "value": value,
    }
