"""What is compared, and how; each field is a flag of the script."""

import dataclasses

from omgrl_jax.learners import boosted_q

# Units of the study that are not learned from rewards.
CLONED, REFERENCES = "behavioural_cloning", "references"
# The study's own method, the same with a temperature of acting, and without its heads.
OWN, SHARPENED, ALONE = "multitask_iql", "sharpened_iql", "single_task_iql"
NO_ENTROPY = "no_entropy"
# The method with the settings that were published with it.
AS_PUBLISHED = "published_iql"
# What takes long and answers questions of its own is asked for by name.
_BY_NAME = (NO_ENTROPY, "iql", AS_PUBLISHED)
# In the order of the tables.
METHODS = (
    OWN,
    SHARPENED,
    ALONE,
    NO_ENTROPY,
    "iql",
    "dueling_cql",
    "ddqn",
    "linear_q",
    "boosted_q",
    AS_PUBLISHED,
)


@dataclasses.dataclass(frozen=True)
class StudyConfig:
    """What is compared, beside the settings of the methods themselves.

    Attributes:
      methods: what learns a policy: multitask_iql, the same drawn from more sharply
        (sharpened_iql) or without auxiliary heads (single_task_iql), dueling_cql, ddqn,
        linear_q, boosted_q. Also no_entropy (multitask_iql without its entropy term),
        iql (networks of their own: takes thrice as long) and published_iql
        (multitask_iql with the settings that were published with it: longer still).
      stays: virtual stays that are made where no dataset is named.
      tested: share of them that is held out for tests and estimates.
      style: how much the clinicians who treat them differ (0 not at all, 1 as much as
        is usual).
      cohort_seed: of these stays.
      estimated_seeds: seeds whose policies are estimated off-policy as well, which
        takes longest; 0 for all.
      swept_states: held-out states around which one sign is swept.
      boosted: how boosted trees are fitted.
    """

    methods: tuple[str, ...] = tuple(m for m in METHODS if m not in _BY_NAME)
    stays: int = dataclasses.field(default=20_000, metadata={"min": 100})
    tested: float = dataclasses.field(default=0.3, metadata={"above": 0, "max": 0.8})
    style: float = dataclasses.field(default=0.0, metadata={"min": 0})
    cohort_seed: int = 0
    estimated_seeds: int = dataclasses.field(default=0, metadata={"min": 0})
    swept_states: int = dataclasses.field(default=300, metadata={"min": 1})
    boosted: boosted_q.Config = dataclasses.field(
        default_factory=lambda: boosted_q.Config(iterations=18, trees=30)
    )

    def __post_init__(self) -> None:
        """Rejects methods that nobody knows, naming the flag."""
        unknown = [name for name in self.methods if name not in METHODS]
        if unknown or not self.methods:
            raise ValueError(
                f"--methods={','.join(self.methods)}: choose among {', '.join(METHODS)}"
            )
        if len(set(self.methods)) < len(self.methods):
            raise ValueError("--methods: a method is named twice")
