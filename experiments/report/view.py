"""Everything the page shows of one run, ready for the template."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from experiments.report import (
    ablation,
    checklist,
    headline,
    model_card,
    off_policy,
    published,
    questions,
    results,
    sections,
    subgroups,
    support,
    words,
)
from experiments.report.blocks import Block
from experiments.report.results import Results

# Sections of the page: identifier -> its name in the navigation.
PARTS = {
    "learned": "What was learned",
    "policies": "Policies",
    "subgroups": "Groups of patients",
    "records": "Estimates from records",
    "reward": "Reward",
    "doses": "Doses",
    "patients": "Single patients",
    "model": "Model",
    "questions": "Open questions",
    "settings": "Settings",
    "published": "Published numbers",
    "training": "Training",
    "cohort": "Cohort",
    "card": "Model card",
    "checklists": "Checklists",
    "repeat": "Repeat",
}


class View(NamedTuple):
    """One run on the page.

    Attributes:
      run: the run.
      prefix: what its identifiers on the page begin with, empty on a page of its own.
      headline: the first screen.
      target: therapeutic range in seconds.
      policy_notes: name and explanation of the policies that occur.
      worlds: identifier, name, explanation and block of each world.
      thresholds: what the intervention test must reach.
      questions: three questions on the method, with the answers of this run.
      blocks: section -> what it shows.
      card: the model card.
      checklists: the filled checklists.
    """

    run: Results
    prefix: str
    headline: headline.Headline
    target: tuple[float, float]
    policy_notes: Sequence[tuple[str, str]]
    worlds: Sequence[tuple[str, str, str, Block]]
    thresholds: Mapping[str, float]
    questions: Sequence[questions.Question]
    blocks: Mapping[str, Block]
    card: Sequence[model_card.Part]
    checklists: Sequence[checklist.Filled]

    def name(self, part: str) -> str:
        """Returns the identifier of a section on the page."""
        return self.prefix + part


def view(run: Results, prefix: str = "", settings: bool = True) -> View:
    """Draws all figures of a run and gathers what the page says of it.

    Args:
      run: the run.
      prefix: what its identifiers on the page begin with.
      settings: whether its study of settings is shown here; else it stands elsewhere.
    """
    worlds = [
        (world, words.WORLDS[world], words.WORLD_NOTES[world], block)
        for world in results.WORLDS
        if (block := sections.world_block(run, world)).shows or world == "simulator"
    ]
    return View(
        run,
        prefix,
        headline.headline(run),
        words.target_of(run.get("dataset")),
        policy_notes(run.get("policies") or ()),
        worlds,
        (run.get("intervention") or {}).get("thresholds") or {},
        questions.questions(run),
        {
            "subgroups": subgroups.block(run),
            "records": off_policy.block(run),
            "support": support.block(run),
            "reward": sections.reward_block(run),
            "doses": sections.dose_block(run),
            "patients": sections.example_block(run),
            "model": sections.model_block(run),
            "settings": ablation.block(run) if settings else Block(),
            "published": published.block(run),
            "training": sections.training_block(run),
            "cohort": sections.patients_block(run),
            "repeat": sections.repeat_block(run),
        },
        model_card.card(run),
        checklist.fill(run, PARTS),
    )


def policy_notes(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Returns what each policy of the rows is, in the order of the report."""
    names = dict.fromkeys(row["policy"] for row in rows)
    known = [name for name in names if name in words.POLICY_NOTES]
    known.sort(key=words.policy_order)
    return [(words.policy(name), words.POLICY_NOTES[name]) for name in known]
