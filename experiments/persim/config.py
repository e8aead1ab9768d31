"""The configuration of the PerSim study, and what differs between its environments."""

# A field may bear the name of the module that its type comes from.
from __future__ import annotations

import dataclasses
from typing import Any

from data_prep import control
from experiments.persim.judging import JudgeConfig
from experiments.persim.learning import LearnConfig
from experiments.persim.methods import PastConfig
from omgrl_jax.learners import online_q, online_td3
from omgrl_jax.models import low_rank
from omgrl_jax.models.ensemble import FitConfig
from omgrl_jax.models.planner import CemConfig, ShootingConfig

METHODS = ("persim", "one_hot", "context_aware", "untold", "alone")
# Methods that learn a policy, by their names in experiments.config.
_RECORDED = ("bcq", "cql", "iql", "sac", "ddqn")  # they roll nothing out
LEARNERS = (*_RECORDED, "mopo", "morel", "combo", "omg_rl")


def _fit() -> FitConfig:
    return FitConfig(
        members=3,
        elites=3,
        learning_rate=5e-3,
        weight_decay=0.0,
        batch_size=512,
        max_epochs=40,
        patience=40,
        halve_every=10,
        bootstrap=False,
    )


@dataclasses.dataclass(frozen=True)
class Config:
    """What the study depends on; every field is a flag of the same name.

    Attributes:
      env: the environment.
      data: the behaviour that made the logs, see `data_prep.control`.
      agents: agents with one log each, the judged five among them.
      unseen: agents left out of every fit, whose factors are inferred.
      unseen_steps: first steps of their logs that are used for it.
      data_seed: seed of agents and logs, the same for all seeds of the study.
      seeds: how often everything is fitted and judged.
      first_seed: the first of the seeds.
      methods: simulators to compare; PerSim brings its average agent along.
      counts: numbers of agents to learn from besides all of them.
      count_methods: those of the methods that are fitted to fewer agents.
      learners: methods that learn one policy for all agents from their logs.
      personal_learners: methods that learn a policy for each judged agent from its log
        and imagined episodes in its PerSim simulator, which they roll out as well if
        they can (mopo, omg_rl).
      alone_learners: methods that do so from its log alone.
      ridge: weight of the mean of all agents where a factor is inferred.
      low_rank: PerSim's factors; the other networks are as wide.
      past: what the context-aware model is told.
      fit: how all of them are fitted.
      least_rows: steps that an epoch of a fit has at least; logs of fewer, such as
        random ones of poles that soon fall, are met again and again.
      judge: how they are judged.
      plan: how agents plan, where actions are discrete.
      cem: how agents plan, where actions are continuous.
      learn: how policies are learned from logs.
      q: how behaviour policies are learned, where actions are discrete.
      td3: how they are learned, where actions are continuous.
    """

    env: str = dataclasses.field(
        default="mountain_car", metadata={"choices": tuple(control.SETTINGS)}
    )
    data: str = dataclasses.field(
        default="pure", metadata={"choices": tuple(control.DATA)}
    )
    agents: int = dataclasses.field(default=500, metadata={"min": 10})
    unseen: int = dataclasses.field(default=25, metadata={"min": 0})
    unseen_steps: int = dataclasses.field(default=50, metadata={"min": 1})
    data_seed: int = 0
    seeds: int = dataclasses.field(default=5, metadata={"min": 1})
    first_seed: int = 0
    methods: tuple[str, ...] = dataclasses.field(
        default=METHODS, metadata={"choices": METHODS}
    )
    counts: tuple[int, ...] = (100, 25)
    count_methods: tuple[str, ...] = dataclasses.field(
        default=("persim", "one_hot", "untold"), metadata={"choices": METHODS[:-1]}
    )
    learners: tuple[str, ...] = dataclasses.field(
        default=("bcq", "cql", "morel"), metadata={"choices": LEARNERS}
    )
    personal_learners: tuple[str, ...] = dataclasses.field(
        default=("bcq", "mopo"), metadata={"choices": LEARNERS}
    )
    alone_learners: tuple[str, ...] = dataclasses.field(
        default=("bcq",), metadata={"choices": _RECORDED}
    )
    ridge: float = dataclasses.field(default=1.0, metadata={"above": 0})
    low_rank: low_rank.Config = dataclasses.field(
        default_factory=lambda: low_rank.Config(rank=3, state_hidden=(64,))
    )
    past: PastConfig = dataclasses.field(default_factory=PastConfig)
    fit: FitConfig = dataclasses.field(default_factory=_fit)
    least_rows: int = dataclasses.field(default=60_000, metadata={"min": 0})
    judge: JudgeConfig = dataclasses.field(
        default_factory=lambda: JudgeConfig(episodes=4)
    )
    plan: ShootingConfig = dataclasses.field(
        default_factory=lambda: ShootingConfig(candidates=100)
    )
    cem: CemConfig = dataclasses.field(default_factory=CemConfig)
    learn: LearnConfig = dataclasses.field(default_factory=LearnConfig)
    q: online_q.Config = dataclasses.field(default_factory=online_q.Config)
    td3: online_td3.Config = dataclasses.field(default_factory=online_td3.Config)

    def __post_init__(self) -> None:
        """Rejects what cannot be meant, naming the flag."""
        if self.fit.bootstrap:
            raise ValueError(
                "--fit_bootstrap: simulators are fitted to steps of all agents, of "
                "whom none may be left out; leave it off"
            )
        judged, known = self.judged, self.agents - self.unseen
        if known < judged + self.low_rank.rank:
            raise ValueError(
                f"--agents={self.agents} less --unseen={self.unseen} leaves {known}; "
                f"{judged} are judged, and factors of rank {self.low_rank.rank} need "
                "as many more at least"
            )
        for count in self.counts:
            if not judged + self.low_rank.rank <= count < known:
                raise ValueError(
                    f"--counts={count}: must lie between {judged} judged agents plus "
                    f"--low_rank_rank={self.low_rank.rank} and the {known} that there "
                    "are"
                )

    @property
    def judged(self) -> int:
        """Agents on whom simulators are judged, the first ones of the dataset."""
        return len(control.SETTINGS[self.env].judged[0])

    @property
    def seed_list(self) -> list[int]:
        """The seeds of the study."""
        return list(range(self.first_seed, self.first_seed + self.seeds))

    def recorded(self) -> control.Config:
        """How the logs are made."""
        return control.Config(
            self.env, self.data, self.agents, self.data_seed, self.q, self.td3
        )


# By environment: defaults that differ from those of `Config`.
USUAL: dict[str, dict[str, Any]] = {
    # A plan must see the top of the hill, and chance alone swings no car up to it.
    "mountain_car": {"plan_horizon": 150, "plan_hold": 10},
    "cart_pole": {"low_rank_rank": 5},
    # A step of MuJoCo costs 70 microseconds, which planning in the truth takes often.
    "half_cheetah": {
        "agents": 100,
        "unseen": 10,
        "seeds": 2,
        "methods": ("persim", "one_hot", "context_aware", "untold"),
        "counts": (40,),
        "learners": (),
        "personal_learners": (),
        "alone_learners": (),
        "low_rank_rank": 8,
        "low_rank_state_hidden": (128, 128),
        "low_rank_action_hidden": (32,),
        "fit_learning_rate": 1e-3,
        "fit_max_epochs": 20,
        "fit_patience": 20,
        "fit_halve_every": 8,
        "judge_predictions": 100,
        "judge_episodes": 1,
        "judge_limit": 100,
        "cem_horizon": 20,
        "cem_candidates": 100,
        "cem_elites": 20,
        "cem_iterations": 3,
    },
}
# The sizes of the paper (NeurIPS 2021, Appendix), for `--full`.
_PAPER: dict[str, Any] = {
    "counts": (250, 100, 50, 25),
    "least_rows": 0,
    "past_steps": 10,
    "past_hidden": (256, 128),
    "low_rank_state_hidden": (256,),
    "low_rank_huber": 0.0,
    "fit_members": 5,
    "fit_learning_rate": 1e-3,
    "fit_max_epochs": 300,
    "fit_patience": 300,
    "fit_halve_every": 150,
    "judge_episodes": 20,
    "plan_horizon": 50,
    "plan_hold": 1,
    "plan_candidates": 1000,
}
FULL: dict[str, dict[str, Any]] = {
    "mountain_car": _PAPER,
    "cart_pole": {**_PAPER, "fit_batch_size": 64},
    "half_cheetah": {
        **_PAPER,
        "agents": 500,
        "unseen": 25,
        "seeds": 5,
        "methods": METHODS,
        "low_rank_rank": 15,
        "low_rank_state_hidden": (512,) * 4,
        "low_rank_action_hidden": (512, 512),
        "fit_batch_size": 1024,
        "judge_predictions": 200,
        "judge_limit": 0,
        "cem_horizon": 30,
        "cem_candidates": 200,
        "cem_elites": 50,
        "cem_iterations": 5,
        "td3_hidden": (256, 256),
        "td3_steps": 100_000,
        "td3_batch_size": 256,
        "td3_capacity": 400_000,
    },
}
