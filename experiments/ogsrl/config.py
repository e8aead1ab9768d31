"""What is compared, and how; each field is a flag of the script."""

import dataclasses
from typing import Any

from experiments.config import RunConfig

REFERENCES = "references"
# The paper's names: constrained policy optimisation (CPO) or none (TRPO) in a model
# (MB), guarded (G); CQL guarded (G), with costs (C) or both. GMB-CPO is OGSRL.
OWN, UNGUARDED, COSTLESS, FREE = "gmb_cpo", "mb_cpo", "gmb_trpo", "mb_trpo"
LAGRANGIAN = "gmb_sac"
# Method -> how it learns, whether it is guarded, and whether it has costs.
METHODS = {
    OWN: ("ogsrl", True, True),
    UNGUARDED: ("ogsrl", False, True),
    COSTLESS: ("ogsrl", True, False),
    FREE: ("ogsrl", False, False),
    LAGRANGIAN: ("combo", True, True),
    "gccql": ("guarded_cql", True, True),
    "ccql": ("guarded_cql", False, True),
    "gcql": ("guarded_cql", True, False),
    "cql": ("guarded_cql", False, False),
}
RECORDED = tuple(m for m, (learner, *_) in METHODS.items() if learner == "guarded_cql")
ROLLED_OUT = tuple(m for m in METHODS if m not in RECORDED)
# Trust region steps alone know continuous doses.
DISCRETE = (LAGRANGIAN, *RECORDED)
WORLDS = ("ensemble", "nearest")


@dataclasses.dataclass(frozen=True)
class StudyConfig:
    """What is compared, beside the settings of the methods themselves.

    Attributes:
      methods: gmb_cpo (OGSRL: guardian and costs), the same without its guardian
        (mb_cpo), without costs (gmb_trpo) or without both (mb_trpo); gmb_sac, held by
        multipliers instead of trust region steps (COMBO under the same limits, of
        rollouts from anywhere in stays); and
        cql, which rolls out nothing, guarded (gcql), with costs (ccql) or both (gccql).
        The last five need discrete actions.
      stays: virtual stays that are made where no dataset is named.
      tested: share of them that is held out.
      cohort_seed: of these stays.
      actions: their actions: levels (3 x 3) or doses (continuous).
      lungs: what a litre too much costs their oxygen saturation, %; no reward sees it.
      learn_in: the world in which policies are learned: ensemble (Gaussian networks) or
        nearest (nearest neighbours, as published).
      judge_in: the world of held-out patients in which they are judged.
      tolerance: how near a dose must be to count as the clinicians', as a share of the
        largest.
      limits_swept: limits of the first cost with which gmb_cpo is trained as well.
      coverages: coverages of the guardian with which it is trained as well.
      swept_seeds: seeds of these.
    """

    methods: tuple[str, ...] = tuple(METHODS)
    stays: int = dataclasses.field(default=16_000, metadata={"min": 100})
    tested: float = dataclasses.field(default=0.2, metadata={"above": 0, "max": 0.6})
    cohort_seed: int = 0
    actions: str = dataclasses.field(
        default="levels", metadata={"choices": ("levels", "doses")}
    )
    lungs: float = dataclasses.field(default=8.0, metadata={"min": 0})
    learn_in: str = dataclasses.field(default="ensemble", metadata={"choices": WORLDS})
    judge_in: str = dataclasses.field(default="ensemble", metadata={"choices": WORLDS})
    tolerance: float = dataclasses.field(default=0.1, metadata={"above": 0, "max": 1})
    limits_swept: tuple[float, ...] = dataclasses.field(
        default=(0.01, 0.04), metadata={"min": 0, "max": 1}
    )
    coverages: tuple[float, ...] = dataclasses.field(
        default=(0.8, 0.99), metadata={"above": 0, "below": 1}
    )
    swept_seeds: int = dataclasses.field(default=2, metadata={"min": 1})

    def __post_init__(self) -> None:
        """Rejects what cannot be meant, naming the flag."""
        unknown = [name for name in self.methods if name not in METHODS]
        if unknown or not self.methods:
            raise ValueError(
                f"--methods={','.join(self.methods)}: choose among {', '.join(METHODS)}"
            )


# Where this study's defaults differ from those of heparin.
DEFAULTS: dict[str, Any] = {
    # Rolled out to the end of a stay in all features, the world leaves the guardian's
    # region whatever the doses.
    "state": "compact",
    "seeds": 5,
    "epochs": 100,
    "interval": 50,
    "patients": 2000,
    "rollout_horizon": 18,
    "rollout_rollouts": 128,
    "agent_actor_hidden": (64, 64),
    "agent_critic_hidden": (64, 64),
    "agent_updates": 50,
    "agent_target_rate": 0.02,
    "world_ends": True,
    "world_rewards": True,
    "world_dose_effect": "free",
    # Safety costs are tails: rolled out, one Gaussian saw 2.0 to 2.6 % of the clones'
    # steps desaturate, three 3.8 %, where 3.5 % were true.
    "world_components": 3,
    # SOFA is counted, doses and hours follow by rule: without it, fitted to them, the
    # world underrated by half what a missing vasopressor does.
    "world_blur": 0.1,
    "world_hidden": (128, 128),
    "world_outcome_hidden": (64, 64),
    "fit_members": 2,
    "fit_elites": 2,
    # Large steps that soon become small: on held-out virtual sepsis better in six
    # epochs than sixteen of batch 1,024 and steps of 2e-3, in all kinds of networks.
    "fit_batch_size": 256,
    "fit_learning_rate": 8e-3,
    "fit_halve_every": 1,
    "fit_max_epochs": 6,
    "fit_patience": 4,
    "fit_bootstrap": False,
    "ogsrl_start": "admission",
    "ogsrl_hidden": (64, 64),
    "ogsrl_optimiser_curvature_every": 4,
    "ogsrl_optimiser_value_hidden": (64, 64),
    "guardian_region_points": 2000,
    "limits_costs": ("desaturation", "oliguria"),
    "limits_most": (0.03, 0.1),
    "combo_conservatism": 0.0,
}


def variant(config: RunConfig, method: str) -> RunConfig:
    """The configuration of a method: one algorithm, with what it does without removed.

    Args:
      config: settings of the methods.
      method: one of `METHODS`.
    """
    algorithm, guarded, costs = METHODS[method]
    limits = dataclasses.replace(config.limits, guarded=guarded)
    if not costs:
        limits = dataclasses.replace(limits, costs=(), most=())
    combo = dataclasses.replace(config.combo, limited=True)
    return dataclasses.replace(
        config, algorithms=(algorithm,), limits=limits, combo=combo
    )


def with_limit(config: RunConfig, limit: float) -> RunConfig:
    """The configuration with another limit for the first cost."""
    most = (limit, *config.limits.most[1:])
    limits = dataclasses.replace(config.limits, most=most)
    return variant(dataclasses.replace(config, limits=limits), OWN)


def with_coverage(config: RunConfig, coverage: float) -> RunConfig:
    """The configuration with another coverage of the guardian."""
    guardian = dataclasses.replace(config.guardian, coverage=coverage)
    return variant(dataclasses.replace(config, guardian=guardian), OWN)
