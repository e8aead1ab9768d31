"""Sizes of what is timed: each field is a flag, each piece a part of its own.

Nothing here imports JAX, so that flags can be read before host devices are set.
"""

import dataclasses


def _least(default: int, least: int = 1) -> int:
    return dataclasses.field(default=default, metadata={"min": least})


@dataclasses.dataclass(frozen=True)
class Update:
    """One step of critics, actor and targets, inside the loop.

    Attributes:
      updates: updates of one timed call, one compiled scan.
      batch: transitions of an update.
      hidden: width of the three layers of each network.
      peers: time the same update in PyTorch, and d3rlpy, where they are installed.
    """

    updates: int = _least(60)
    batch: int = _least(256, 2)
    hidden: int = _least(256)
    peers: bool = True


@dataclasses.dataclass(frozen=True)
class Ensemble:
    """A training step of the dynamics ensemble.

    Attributes:
      members: networks trained side by side.
      hidden: width of their four layers.
      batch: transitions of a step and member.
      steps: steps of an epoch, one timed call.
    """

    members: int = _least(7)
    hidden: int = _least(128)
    batch: int = _least(256)
    steps: int = _least(60)


@dataclasses.dataclass(frozen=True)
class Rollouts:
    """Rollouts of a policy in the world model.

    Attributes:
      states: numbers of states from which they start, a row for each.
      horizon: steps of a rollout.
      members: members of the world, each state dealt to one of them.
      hidden: width of a member's four layers.
      policy_hidden: width of the policy's three layers.
      control_members: members of the control, all of which predict every state.
      peers: time the control as well.
    """

    states: tuple[int, ...] = (1_000, 10_000)
    horizon: int = _least(20)
    members: int = _least(5)
    hidden: int = _least(128)
    policy_hidden: int = _least(256)
    control_members: int = _least(7)
    peers: bool = True


@dataclasses.dataclass(frozen=True)
class Schedule:
    """The whole schedule of the authors' public code.

    Attributes:
      epochs: epochs of a run; 0 for the preset's.
      interval: epochs between two visits of the host.
      windows: experts' windows, and rollouts, of a reward step: 5 of 20 steps each are
        the 100 expert and 100 policy transitions of the authors' step.
      whole_batches: time the preset's own reward batches as well, whole trajectories,
        which are twenty times as large.
      flags: further flags of the run; there is no target for other sizes.
    """

    epochs: int = _least(0, 0)
    interval: int = _least(50)
    windows: int = _least(5)
    whole_batches: bool = True
    flags: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Startup:
    """The first epoch of a fresh process.

    Attributes:
      stays: virtual stays of the dataset.
      interval: epochs of the first interval.
      flags: further flags of the run, such as smaller networks.
    """

    stays: int = _least(200, 10)
    interval: int = _least(1)
    flags: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Seeds:
    """Many seeds beside one.

    Attributes:
      seeds: how many.
      epochs: epochs of one timed call.
      flags: further flags of the run, such as smaller networks.
    """

    seeds: int = _least(16, 2)
    epochs: int = _least(1)
    flags: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Planner:
    """Plans scored in a simulator of one agent.

    Attributes:
      members: numbers of networks that are averaged, a row for each.
      width: units of their layer.
      plans: plans of a step.
      horizon: steps of a plan.
      calls: scores of all plans of one timed call.
      peers: time the same sums in PyTorch, where it is installed.
    """

    members: tuple[int, ...] = (1, 5)
    width: int = _least(256)
    plans: int = _least(1000)
    horizon: int = _least(50)
    calls: int = _least(20)
    peers: bool = True


@dataclasses.dataclass(frozen=True)
class Guardian:
    """Scores of steps against recorded ones.

    Attributes:
      points: recorded points that are kept.
      queries: points that are scored.
      width: numbers that make a point.
      neighbours: the distance is that to so many-th nearest point.
    """

    points: int = _least(100_000)
    queries: int = _least(10_000)
    width: int = _least(17)
    neighbours: int = _least(5)


@dataclasses.dataclass(frozen=True)
class Iql:
    """One step of IQL with multi-task heads.

    Attributes:
      updates: updates of one timed call.
      batch: transitions of an update.
      hidden: widths of the trunk.
    """

    updates: int = _least(20)
    batch: int = _least(1024)
    hidden: tuple[int, ...] = (256, 256, 128)


@dataclasses.dataclass(frozen=True)
class Patients:
    """The simulator of virtual patients, whole stays kept.

    Attributes:
      patients: numbers of patients simulated at once, a row for each.
      hours: hours of each stay.
      calls: simulations of one timed call.
    """

    patients: tuple[int, ...] = (500, 4_000, 16_000)
    hours: int = _least(48)
    calls: int = _least(5)


@dataclasses.dataclass(frozen=True)
class Tables:
    """Conversion of tables shaped like MIMIC-III.

    Attributes:
      rows: rows of CHARTEVENTS; 330,712,483 in MIMIC-III.
      kinds: file types, a row for each.
      heparin_every: one patient in this many is on a heparin infusion.
      folder: where the generated tables stay and are found again; empty: nowhere.
    """

    rows: int = _least(4_000_000, 10_000)
    kinds: tuple[str, ...] = ("parquet", "csv.gz")
    heparin_every: int = _least(6)
    folder: str = ""


@dataclasses.dataclass(frozen=True)
class Growth:
    """How time and memory grow.

    Attributes:
      stays: numbers of stays; up to 50,000 are worth a look.
      seeds: numbers of seeds; up to 64.
      members: numbers of the ensemble's members.
      horizon: lengths of rollouts.
      batch: transitions of an update.
      hidden: width of all layers.
    """

    stays: tuple[int, ...] = (500, 2_000, 8_000)
    seeds: tuple[int, ...] = (1, 2, 4, 8)
    members: tuple[int, ...] = (1, 3, 7, 14)
    horizon: tuple[int, ...] = (5, 10, 20, 40)
    batch: tuple[int, ...] = (64, 256, 1_024)
    hidden: int = _least(128)


@dataclasses.dataclass(frozen=True)
class Accelerator:
    """A sweep of seeds at several precisions of products.

    Attributes:
      seeds: numbers of seeds; up to 1,024 on an accelerator.
      precisions: names that `jax.default_matmul_precision` knows, the first being what
        others are compared with.
      epochs: epochs of one timed call.
      compared: calls after which metrics are compared.
      side: side of the matrices of the ceiling, one for each precision.
      flags: further flags of the run, such as smaller networks.
    """

    seeds: tuple[int, ...] = (1, 4)
    precisions: tuple[str, ...] = ("float32", "tensorfloat32", "bfloat16")
    epochs: int = _least(1)
    compared: int = _least(3)
    side: int = _least(2048)
    flags: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Settings:
    """All pieces.

    Attributes:
      repeats: timed repeats of each piece, the median counts; at least five say
        something of the spread.
      update: see `Update`.
      ensemble: see `Ensemble`.
      rollouts: see `Rollouts`.
      schedule: see `Schedule`.
      startup: see `Startup`.
      seeds: see `Seeds`.
      planner: see `Planner`.
      guardian: see `Guardian`.
      iql: see `Iql`.
      patients: see `Patients`.
      tables: see `Tables`.
      growth: see `Growth`.
      accelerator: see `Accelerator`.
    """

    repeats: int = _least(7)
    update: Update = dataclasses.field(default_factory=Update)
    ensemble: Ensemble = dataclasses.field(default_factory=Ensemble)
    rollouts: Rollouts = dataclasses.field(default_factory=Rollouts)
    schedule: Schedule = dataclasses.field(default_factory=Schedule)
    startup: Startup = dataclasses.field(default_factory=Startup)
    seeds: Seeds = dataclasses.field(default_factory=Seeds)
    planner: Planner = dataclasses.field(default_factory=Planner)
    guardian: Guardian = dataclasses.field(default_factory=Guardian)
    iql: Iql = dataclasses.field(default_factory=Iql)
    patients: Patients = dataclasses.field(default_factory=Patients)
    tables: Tables = dataclasses.field(default_factory=Tables)
    growth: Growth = dataclasses.field(default_factory=Growth)
    accelerator: Accelerator = dataclasses.field(default_factory=Accelerator)


# Whatever is a part of the settings is a piece.
NAMES = tuple(f.name for f in dataclasses.fields(Settings) if f.name != "repeats")
