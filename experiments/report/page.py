"""The page: sections of one run or of several put into the templates, as one file.

The page has no scripts and no outside address: it can be mailed, printed and read
offline. Its own content policy forbids both, so that a browser would not load them.
"""

import os
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import jinja2

from experiments.report import ablation, comparison, overview, results, view
from experiments.report.blocks import Block
from experiments.report.comparison import Member
from experiments.report.results import Results
from omgrl_jax.runtime import storage


class Study(NamedTuple):
    """A page of its own: what was asked, what came of it, and sections of evidence.

    Attributes:
      title: of the page.
      scope: a sentence on what was studied, how often.
      findings: the first screen, a sentence each.
      terms: names and what they mean, in the order of the tables.
      sections: identifier, heading and contents.
      beside: the files that lie beside the page.
    """

    title: str
    scope: str
    findings: Sequence[str]
    terms: Sequence[tuple[str, str]]
    sections: Sequence[tuple[str, str, Block]]
    beside: str


_TEMPLATES = pathlib.Path(__file__).parent / "templates"


def render(run: Results) -> str:
    """Returns the whole page of one run as HTML."""
    page = _environment().get_template("run.html")
    return page.render(title=run.title, view=view.view(run), parts=view.PARTS)


def render_several(members: Sequence[Member]) -> str:
    """Returns the whole page of several runs as HTML.

    Args:
      members: the runs with their names; a page of one run is `render`'s.
    """
    groups = comparison.groups(members)
    # Studies of settings stand in the comparison, not once more in the run's fold.
    studies = [(m.label, ablation.block(m.run)) for m in members]
    rows = [row for m in members for row in m.run.get("policies") or ()]
    page = _environment().get_template("runs.html")
    return page.render(
        title=overview.title(members),
        scope=overview.scope(members, groups),
        summaries=[overview.summary(group) for group in groups],
        comparisons=[(g.name, g.world, comparison.block(g)) for g in groups],
        policy_notes=view.policy_notes(rows),
        studies=[(label, block) for label, block in studies if block.shows],
        # Drawn one by one while the page is written: views are large.
        views=(
            (m.label, view.view(m.run, f"run-{place}-", settings=False))
            for place, m in enumerate(members, start=1)
        ),
        names=[(f"run-{n}", m.label) for n, m in enumerate(members, start=1)],
        parts=view.PARTS,
    )


def write(
    runs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str] | None = None,
) -> pathlib.Path:
    """Draws the report of one run directory or of several.

    Args:
      runs: directories that hold `results.json`.
      out: where to write `report/index.html`; by default the innermost directory that
        holds all the runs, which for a single one is the run itself.

    Returns:
      The page that was written.

    Raises:
      fields.ResultsError: where a `results.json` is missing or breaks its format.
      ValueError: where no run is given, or one is given twice.
    """
    folders = [runs] if isinstance(runs, str | os.PathLike) else list(runs)
    if not folders:
        raise ValueError("--runs is empty; give it output directories of experiments")
    places = [os.path.abspath(folder) for folder in folders]
    if len(set(places)) < len(places):
        raise ValueError(f"--runs={','.join(map(str, folders))} names a run twice")
    loaded = [results.load(folder) for folder in folders]
    if len(loaded) == 1:
        html, common = render(loaded[0]), folders[0]
    else:
        members = list(map(Member, comparison.labels(folders), loaded))
        html, common = render_several(members), os.path.commonpath(places)
    place = pathlib.Path(common if out is None else out)
    return storage.atomic_write(place / "report" / "index.html", html)


def render_study(study: Study) -> str:
    """Returns the whole page of a study that is no run, as HTML."""
    page = _environment().get_template("study.html")
    return page.render(**study._asdict())


def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
