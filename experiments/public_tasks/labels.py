"""What policies are called on a benchmark's page, and what its numbers mean."""

from experiments.report import words
from experiments.report.words import Measure

MEASURES = {
    "cartpole": Measure(
        "Return", "steps for which the pole is kept up, 500 at most", better=1
    ),
    "icu_sepsis": Measure(
        "Survival", "exact probability that a patient survives", better=1
    ),
}
DIGITS = {"cartpole": 1, "icu_sepsis": 4}
TITLES = {"cartpole": "CartPole-v1", "icu_sepsis": "ICU-Sepsis"}
_ALONE = "learns values from the logged steps alone"
NOTES = {
    "expert": "the controller that made the logs",
    "optimal": "the best policy there is, by dynamic programming",
    "clinicians": "what clinicians do, as the benchmark's authors estimated it from "
    "records; they made the logs",
    "random": "every action alike often",
    "behavioural_cloning": "imitates who made the logs, learns nothing else",
    "omg_rl": "learns a reward from the logs, and a policy for it in a learned model",
    "combo": "is told the reward; learns in a model, unseen actions marked down",
    "mopo": "is told the reward; learns in a model, which costs where it is unsure",
    "morel": "is told the reward; learns in a model, whose unsure states end all",
    "ogsrl": "is told the reward; learns in a model, held where records support it",
    "guarded_cql": f"{_ALONE}, unseen and unsupported actions marked down",
    "airl": "learns a reward by telling its own episodes from the logged ones",
    "ml_irl": "learns a reward under which the logged actions are likely",
    "iq_learn": "learns values that explain the logged actions, is told no reward",
    "reward_regression": "fits a reward to the logged ones, then learns in a model",
    "cql": f"{_ALONE}, unseen actions marked down",
    "sac": f"{_ALONE}, held to nothing",
    "bcq": f"{_ALONE}, choosing only actions that the logs make likely",
    "ddqn": f"{_ALONE}, held to nothing; two networks check each other",
    "iql": f"{_ALONE}, never asking for an action that was not taken",
    "dueling_cql": f"{_ALONE}, as state value and advantages, unseen ones marked down",
    "linear_q": f"{_ALONE}, linear in the state",
    "multitask_iql": "as IQL, on a network that also foretells measurements",
}


def label(policy: str) -> str:
    """A policy's name as the reader sees it; nobody doses in CartPole."""
    own = {"expert": "Expert", "optimal": "Optimal policy", "random": "Random actions"}
    return own.get(policy) or words.policy(policy)


def published_label(policy: str) -> str:
    """The policy of a published figure, `method, how`, as the reader sees it."""
    name, *how = policy.split(", ")
    return ", ".join([label(name), *how])
