"""The page: sections of a run put into the templates, as one file.

The page has no scripts and no outside address: it can be mailed, printed and read
offline. Its own content policy forbids both, so that a browser would not load them.
"""

import os
import pathlib
from typing import Any

import jinja2

from experiments.report import headline, results, sections, words
from experiments.report.results import Results
from omgrl_jax.runtime import storage

_TEMPLATES = pathlib.Path(__file__).parent / "templates"


def render(run: Results) -> str:
    """Returns the whole page as HTML."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    context: dict[str, Any] = {
        "run": run,
        "headline": headline.headline(run),
        "target": words.target_of(run.get("dataset")),
        "policy_notes": [(words.policy(k), v) for k, v in words.POLICY_NOTES.items()],
        "worlds": [
            (world, words.WORLDS[world], words.WORLD_NOTES[world], block)
            for world in results.WORLDS
            if (block := sections.world_block(run, world)).pictures
            or block.tables
            or (world == "simulator")
        ],
        "thresholds": (run.get("intervention") or {}).get("thresholds") or {},
        "reward": sections.reward_block(run),
        "doses": sections.dose_block(run),
        "examples": sections.example_block(run),
        "model": sections.model_block(run),
        "training": sections.training_block(run),
        "patients": sections.patients_block(run),
        "repeat": sections.repeat_block(run),
    }
    return environment.get_template("page.html").render(context)


def write(run: str | os.PathLike[str]) -> pathlib.Path:
    """Draws the report of a run directory.

    Args:
      run: directory that holds `results.json`.

    Returns:
      The page that was written, `run/report/index.html`.

    Raises:
      fields.ResultsError: where `results.json` is missing or breaks its format.
    """
    html = render(results.load(run))
    return storage.atomic_write(pathlib.Path(run) / "report" / "index.html", html)
