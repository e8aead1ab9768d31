"""The page of a coverage study: can off-policy estimates be believed?"""

import pathlib

import pandas as pd

from experiments.ope import sections
from experiments.ope.problem import Config
from experiments.ope.summary import doubted
from experiments.report import page as page_lib
from experiments.report import words
from omgrl_jax.evaluation import off_policy
from omgrl_jax.runtime import storage

TITLES = {
    "garnet": "A random table",
    "icu_sepsis": "ICU-Sepsis",
    "heparin": "Virtual heparin patients",
}
_WORDS = (
    " A step of the table is called an hour here, its action a dose, its episode a "
    "stay, and who made the logs clinicians."
)
TERMS = (
    (
        "Shift",
        "share of decisions in which the evaluated policy follows a target and not the "
        "behaviour policy, which is who made the logs, as far as the evaluator knows",
    ),
    (
        "Coverage",
        "share of the intervals, each from a log of its own, that hold the true value",
    ),
    (
        "Effective patients",
        "how many patients of equal weight would tell as much as the weighted ones",
    ),
    ("Largest weight", "the share of all weight that one single patient carries"),
)


def write(out: pathlib.Path, config: Config, summary: pd.DataFrame) -> pathlib.Path:
    """Draws the page.

    Args:
      out: where the study lies; the page goes to `report/index.html` there.
      config: its settings.
      summary: of `summary.summarise`.

    Returns:
      The page.
    """
    html = page_lib.render_study(make(config, summary))
    return storage.atomic_write(out / "report" / "index.html", html)


def make(config: Config, summary: pd.DataFrame) -> page_lib.Study:
    """The page before it is put into its template."""
    names = dict.fromkeys(summary["estimator"])
    return page_lib.Study(
        title=f"Can off-policy estimates be believed? {TITLES[config.problem]}",
        scope=_scope(config),
        findings=findings(config, summary),
        terms=[
            *TERMS,
            *(
                (f"{words.estimator(name)} ({name.upper()})", words.ESTIMATORS[name][1])
                for name in names
            ),
        ],
        sections=[
            (
                "coverage",
                "Do the intervals hold the truth, and what do they rest on?",
                sections.coverage(summary, config.ope.level),
            )
        ],
        beside=(
            "coverage.csv (every log), summary.csv, coverage.svg and coverage.png (the "
            "figure)"
        ),
    )


def _scope(config: Config) -> str:
    """What was drawn, how often, and what its evaluator knew."""
    knows = {
        "fitted": f"fitted on {config.fit_patients} other patients, as is Q",
        "known": f"known; Q is fitted on {config.fit_patients} other patients",
    }[config.behaviour]
    made = f" Who doses in the logs: {config.heparin.logger}."
    return (
        f"{config.replicates} logs of {config.patients} patients each. What is "
        f"estimated: the discounted sum of rewards over {config.ope.horizon} steps. "
        f"The behaviour policy is {knows}."
        f"{made if config.problem == 'heparin' else _WORDS}"
    )


def findings(config: Config, summary: pd.DataFrame) -> list[str]:
    """The first screen: for each shift what the estimator to read is worth."""
    few, said = doubted(summary), []
    for shift in dict.fromkeys(summary["shift"]):
        row = sections.row_of(summary, shift, sections.READ)
        fitted = sections.row_of(summary, shift, "fqe")
        verdict = "too few to be believed" if shift in few else "enough"
        said.append(
            f"Shift {shift:g}: {100 * config.ope.level:g} % intervals of the weighted "
            f"doubly robust estimate hold the truth in {sections.share(row)} of logs, "
            f"those of fitted Q evaluation in {sections.share(fitted)}. Weights leave "
            f"{sections.effective(summary, shift)} effective patients of "
            f"{config.patients}: {verdict}. The largest weight of one patient is "
            f"{sections.quartiles(row, 'largest', True)}."
        )
    least = f"{off_policy.LEAST_PATIENTS:g}"
    return [
        *said,
        f"Enough means {least} effective patients or more. Patients and weights: "
        "median over logs, in brackets quartiles.",
    ]
