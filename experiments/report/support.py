"""Is a policy within the data? The behaviour model, and doses hardly recorded."""

from collections.abc import Sequence

from experiments.report import blocks, drawing, estimates, forest, words
from experiments.report.blocks import Block
from experiments.report.drawing import Picture
from experiments.report.estimates import Row
from experiments.report.results import Results
from experiments.report.tables import SPREAD_NOTE, Table, show

SHARE = "share_out_of_support"
SUPPORT = words.Measure(
    "Doses outside what was recorded", "share of a policy's doses", True, -1
)


def block(run: Results) -> Block:
    """Returns calibration of the behaviour model, and doses hardly ever recorded."""
    return blocks.join(_calibration(run), _support(run))


def _calibration(run: Results) -> Block:
    rows = run.get("behaviour_calibration")
    if not rows:
        reason = blocks.lacks(
            "Calibration of the behaviour model", "behaviour_calibration"
        )
        return blocks.block(absent=[reason])
    hide, shown, absent = blocks.hides(run), visible(run), []
    if len(shown) < len(rows):
        absent.append(
            f"{len(rows) - len(shown)} of {len(rows)} cells of the behaviour model's "
            "calibration hold ten decisions or fewer and are not shown."
        )
    if not shown:
        return blocks.block(absent=absent)
    table = Table(
        ["Predicted", "Observed", "Decisions"],
        [
            [
                show(estimates.estimate([row["predicted"]]), True),
                show(estimates.estimate([row["observed"]]), True),
                estimates.show_count(row["count"], hide),
            ]
            for row in shown
        ],
        "Predicted: mean probability that the behaviour model gives to a dose; "
        "observed: how often that dose was then given.",
    )
    title = "Calibration of the behaviour model"
    return blocks.block([calibration(shown)], [(title, table)], absent)


def visible(run: Results) -> list[Row]:
    """Returns the cells of the calibration that may be shown: no small ones."""
    hide = blocks.hides(run)
    rows = run.get("behaviour_calibration") or ()
    return [row for row in rows if not (hide and estimates.small(row["count"]))]


def calibration(rows: Sequence[Row]) -> Picture:
    """Draws observed against predicted frequency of doses.

    Args:
      rows: rows of section `behaviour_calibration` that may be shown.
    """
    known = sorted(
        (r["predicted"], r["observed"], r["count"])
        for r in rows
        if r["predicted"] is not None and r["observed"] is not None
    )
    most = max((n for *_, n in known if not isinstance(n, str | None)), default=1) or 1
    with drawing.canvas(3.4) as (figure, (axes,)):
        axes.plot([0, 1], [0, 1], color=drawing.GREY, linestyle=":", label="exact")
        axes.plot([p for p, *_ in known], [o for _, o, _ in known], color=drawing.BLUE)
        for place, (predicted, observed, count) in enumerate(known):
            share = 0.0 if isinstance(count, str | None) else count / most
            axes.plot(
                predicted, observed, "o", color=drawing.BLUE, ms=4 + 6 * share**0.5,
                label="_" if place else "behaviour model",
            )  # fmt: skip
        axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
        axes.set(xlabel="Predicted probability", ylabel="Share given in fact")
        axes.set_title("Does the model know clinicians?")
        drawing.legend_below(figure, axes)
        pairs = ", ".join(f"{p:.0%} predicted, {o:.0%} given" for p, o, _ in known)
        caption = (
            "Calibration of the behaviour model, the estimate of how clinicians dose "
            "that all weights rest on: doses it predicts with a given probability, and "
            "how often they were given. Larger marks: more decisions."
        )
        return drawing.finish(figure, f"Behaviour model: {pairs}.", caption)


def _support(run: Results) -> Block:
    rows = run.get("support")
    if not rows:
        return blocks.block(absent=[blocks.lacks("Doses outside the data", "support")])
    rows = sorted(rows, key=lambda row: words.policy_order(row["policy"]))
    limits = {row["threshold"] for row in rows if row.get("threshold") is not None}
    limit = " or ".join(f"{100 * limit:g} %" for limit in sorted(limits))
    rule = f"less than {limit}" if limit else "little (threshold not stated by the run)"
    caption = (
        "Over recorded states, the share of a policy's doses to which the behaviour "
        f"model gives a probability of {rule}: doses that clinicians hardly ever gave "
        "in such a state, so that the data say nothing on what they do."
    )
    groups = estimates.group(rows, "policy", "mode")
    entries, cells = [], []
    for (policy, mode), members in groups.items():
        name = words.with_mode(policy, mode or "-")
        hollow = mode == "greedy"
        entries.append(forest.entry(name, members, SHARE, policy, hollow))
        mean = estimates.over_seeds(members, SHARE)
        cells.append([name, show(mean, True), str(mean.n if mean else 0)])
    table = Table(["Policy", SUPPORT.label, "n"], cells, SPREAD_NOTE)
    picture = forest.picture(entries, SUPPORT, caption)
    return blocks.block([picture], [(SUPPORT.label, table)])
