"""Returns on test stays beside what each method's own critic promises: Q."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from experiments.report import estimates, policies, words
from experiments.report.estimates import Row
from experiments.report.results import Results
from experiments.report.tables import SPREAD_NOTE, Table, show

TITLE = "Test returns and Q"
_RETURNS = (
    "Return: sum of a reward over an episode. In the model episodes begin where "
    "held-out stays begin; the simulator treats new patients."
)
_Q = (
    "Q: what a method's own critic promises from the first hour of these held-out "
    "stays on, the mean over its policy's doses: its belief, not evidence. Q is "
    "discounted and has no end{worth}. Q under a method's own r_psi is in the unit of "
    "that reward as its agent was given it (after scaling, less any penalty): beside "
    "no other number here can it be set, not even beside that of another method. Soft "
    "critics (all but those of IQL, BCQ and double DQN) count a bonus for the "
    "randomness of later doses as well; cautious ones (conservatism, penalties) "
    "promise less on purpose; and critics learn for a fixed number of updates, not "
    "until they stand still."
)


class Column(NamedTuple):
    """A column of the table.

    Attributes:
      heading: its heading.
      world: whose rows are asked.
      measure: the measure.
      hours: hours of an episode, by which a mean an hour becomes a return; 1 for Q.
    """

    heading: str
    world: str
    measure: str
    hours: float = 1.0


def table(run: Results) -> Table | None:
    """Returns the table, None where no critic promised anything.

    Args:
      run: the run.
    """
    by_world = {
        world: estimates.group(policies.rows_of(run, world), "policy", "mode")
        for world in ("model", "simulator")
    }
    every = [row for rows in by_world["model"].values() for row in rows]
    if not any(_holds(every, name) for name in words.PROMISES):
        return None
    config = run.get("config") or {}
    columns = [
        one
        for one in _columns(config)
        if any(_holds(rows, one.measure) for rows in by_world[one.world].values())
    ]
    cells = []
    for key in by_world["model"]:
        if key[0].startswith("constant_"):  # there is one for each dose
            continue
        means = [
            estimates.over_seeds(_scaled(by_world[one.world].get(key, ()), one), "x")
            for one in columns
        ]
        seeds = max((mean.n for mean in means if mean), default=0)
        cells.append([words.with_mode(*key), *map(show, means), str(seeds)])
    headings = [one.heading for one in columns]
    note = " ".join([SPREAD_NOTE, _RETURNS, _Q.format(worth=_worth(config))])
    return Table(["Policy", *headings, "n"], cells, note)


def _columns(config: Mapping[str, Any]) -> list[Column]:
    found = []
    for world, field, where in (
        ("simulator", "hours", "true simulator"),
        ("model", "model_hours", "model"),
    ):
        hours = config.get(field)
        if not hours:  # a mean an hour cannot be told as a return
            continue
        for reward in ("r_p", "r_psi"):
            heading = f"Return under {reward}, {where}, {hours:g}\u00a0h"
            found.append(Column(heading, world, reward, hours))
    known = words.measures(words.TARGET)
    found += [Column(known[name].label, "model", name) for name in words.PROMISES]
    return found


def _scaled(rows: Sequence[Row], one: Column) -> list[Row]:
    return [
        {"seed": row.get("seed"), "x": one.hours * row[one.measure]}
        for row in rows
        if row.get(one.measure) is not None
    ]


def _holds(rows: Sequence[Row], name: str) -> bool:
    return any(row.get(name) is not None for row in rows)


def _worth(config: Mapping[str, Any]) -> str:
    """Returns what a reward of 1 in every hour is as Q, empty where it is unknown."""
    discount = config.get("agent_discount")
    if discount is None or not 0 <= discount < 1:
        return ""
    return (
        f": with a discount of {discount:g}, a reward of 1 in every hour is a Q of "
        f"{1 / (1 - discount):.3g}"
    )
