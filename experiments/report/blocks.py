"""What a section of the page is made of: warnings, pictures, tables, what is absent."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from experiments.report.drawing import Picture
from experiments.report.results import Results
from experiments.report.tables import Table


class Block(NamedTuple):
    """What one section of the page shows: nothing but `absent` where data lack.

    Attributes:
      pictures: figures, shown first.
      tables: titles and tables.
      absent: sentences on what is not shown, and why.
      warnings: sentences that stand above the pictures.
    """

    pictures: Sequence[Picture] = ()
    tables: Sequence[tuple[str, Table]] = ()
    absent: Sequence[str] = ()
    warnings: Sequence[str] = ()

    @property
    def shows(self) -> bool:
        """Whether there is more than a sentence on what is absent."""
        return bool(self.pictures or self.tables)


def block(
    pictures: Iterable[Picture | None] = (),
    shown: Iterable[tuple[str, Table]] = (),
    absent: Iterable[str] = (),
    warnings: Iterable[str] = (),
) -> Block:
    """Builds a block, leaving out pictures that could not be drawn."""
    return Block([p for p in pictures if p], list(shown), list(absent), list(warnings))


def join(*blocks: Block) -> Block:
    """Returns several blocks as one: all pictures first, then all tables."""
    parts = (
        [item for one in blocks for item in getattr(one, name)]
        for name in Block._fields
    )
    return Block(*parts)


def lacks(name: str, section: str) -> str:
    """Returns the sentence for a section that the run did not write."""
    return f"{name}: not shown, since the run wrote no '{section}'."


def hides(run: Results) -> bool:
    """Whether counts of one to ten are hidden: unless all patients are virtual."""
    return run.kind != "virtual"
