"""Figures of rewards and policies: comparison, doses, single virtual patients."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np

from experiments.report import drawing, estimates, forest, words
from experiments.report.drawing import Picture
from experiments.report.estimates import Row
from experiments.report.words import Measure


def comparison(
    rows: Sequence[Row],
    name: str,
    measure: Measure,
    world: str,
    figure_name: str = "",
) -> Picture | None:
    """Draws one measure for every policy: seeds, mean and 95 % interval.

    Args:
      rows: rows of section `policies` of ONE world.
      name: key of the measure in the rows.
      measure: how it is called and shown.
      world: the world of the rows, said in the caption.
      figure_name: prefix of the caption, such as "Fig. 4. ".
    """
    entries = [
        forest.entry(
            words.with_mode(policy, mode), members, name, policy, mode == "greedy"
        )
        for (policy, mode), members in estimates.group(rows, "policy", "mode").items()
    ]
    caption = (
        f"{figure_name}{measure.label}: {measure.note}. {words.WORLDS[world]}. Hollow: "
        "greedy (always the most probable dose)."
    )
    return forest.picture(entries, measure, caption)


def dose_heatmap(section: Mapping[str, Any], policy: str, unit: str) -> Picture:
    """Draws how often a policy gives each dose, by the last known aPTT.

    Args:
      section: section `dose_heatmap`.
      policy: key of `policies`, whose grid is [aPTT bins, doses].
      unit: unit of the dose.
    """
    grid = np.array(section["policies"][policy], dtype=float)
    bins = aptt_bins(section["aptt_edges"], len(grid))
    doses = section["dose_labels"]
    with drawing.canvas(0.95 + 0.3 * len(grid)) as (figure, (axes,)):
        axes.grid(False)
        axes.set_facecolor("#EEEEEE")
        # The same scale for every policy: pictures side by side can be compared.
        mesh = axes.pcolormesh(grid, cmap="cividis", vmin=0.0, vmax=1.0)
        for row, column in np.argwhere(np.isfinite(grid)):
            value = grid[row, column]
            axes.text(
                column + 0.5, row + 0.5, f"{100 * value:.0f}", ha="center", va="center",
                fontsize=8, color="white" if value < 0.55 else "black",
            )  # fmt: skip
        axes.set_xticks(np.arange(len(doses)) + 0.5, doses, fontsize=8)
        axes.tick_params(axis="x", labelrotation=30)
        axes.set_yticks(np.arange(len(bins)) + 0.5, bins, fontsize=8)
        axes.set(xlabel=f"Dose ({unit or 'bin'})", ylabel="Last known aPTT (s)")
        axes.set_title(words.policy(policy))
        figure.colorbar(mesh, ax=axes, label="Share of hours", pad=0.02)
        alt = (
            f"Dose heatmap of {words.policy(policy)}. Most frequent dose: "
            + "; ".join(
                f"{label} s: {doses[int(np.nanargmax(row))]}"
                for label, row in zip(bins, grid, strict=True)
                if np.isfinite(row).any()
            )
        )
        caption = (
            f"{words.policy(policy)}: of 100 hours with a given last known aPTT (row), "
            "how many got each dose (column). Empty rows did not occur."
        )
        return drawing.finish(figure, f"{alt}.", caption)


def aptt_bins(edges: Sequence[float], count: int) -> list[str]:
    """Returns the names of `count` bins: between the edges, or with open ends."""
    inner = [f"{a:g}–{b:g}" for a, b in itertools.pairwise(edges)]
    if count == len(inner):
        return inner
    return [f"< {edges[0]:g}", *inner, f"≥ {edges[-1]:g}"]


def reward_curve(section: Mapping[str, Any], target: tuple[float, float]) -> Picture:
    """Draws the learned reward against aPTT, for each dose and on average.

    Args:
      section: section `reward_curve`; `values` are [doses, aPTT].
      target: therapeutic range in seconds.
    """
    aptt, values = section["aptt"], np.array(section["values"], dtype=float)
    with drawing.canvas(3.5) as (figure, (axes,)):
        drawing.shade_target(axes, target, vertical=False)
        shades = dose_shades(len(values))
        for colour, label, row in zip(
            shades, section["dose_labels"], values, strict=True
        ):
            axes.plot(aptt, row, color=colour, linewidth=1.2, label=f"dose {label}")
        note = ""
        if section.get("mean"):
            mean = np.array(section["mean"], dtype=float)
            axes.plot(
                aptt, mean, color=drawing.BLACK, linewidth=2.4, linestyle="--",
                label="mean",
            )  # fmt: skip
            note = f" The mean is highest at {aptt[int(np.nanargmax(mean))]:g} s."
        if section.get("density"):
            density = np.array(section["density"], dtype=float)
            twin = axes.twinx()
            twin.fill_between(aptt, density, color=drawing.GREY, alpha=0.3, linewidth=0)
            twin.set_ylim(0, 5 * np.nanmax(density))  # the lowest fifth of the figure
            twin.axis("off")
        axes.set(xlabel="aPTT (s)", ylabel="Learned reward r_psi (arbitrary unit)")
        axes.set_title("What the learned reward asks for")
        drawing.legend_below(figure, axes, columns=3)
        low, high = target
        caption = (
            "The learned reward at each aPTT, for each dose. Only its shape matters, "
            f"not its height. Green: the target {low:g}–{high:g} s; grey at the foot: "
            "how often each aPTT was recorded; where there is none, the curve is "
            "guesswork."
        )
        alt = f"Learned reward from {aptt[0]:g} to {aptt[-1]:g} s.{note}"
        return drawing.finish(figure, alt, caption)


def dose_shades(count: int) -> list[tuple[float, ...]]:
    """Returns `count` colours from dark to light, in the order of the doses."""
    colours = matplotlib.colormaps["viridis"]
    return [colours(0.9 * index / max(count - 1, 1)) for index in range(count)]


def patient(
    kind: str,
    example: Mapping[str, Any],
    number: int,
    target: tuple[float, float],
    unit: str,
) -> Picture:
    """Draws one virtual patient: aPTT above, dose below, agent beside clinicians.

    Args:
      kind: the run's kind of data.
      example: one item of section `examples`.
      number: what to call the patient.
      target: therapeutic range in seconds.
      unit: unit of the dose.

    Raises:
      ValueError: where the patient may be a real person.
    """
    if kind != "virtual":
        raise ValueError(
            f"single patients are drawn for virtual patients only, not for '{kind}'"
        )
    hours, notes = example["hours"], []
    with drawing.canvas(3.9, rows=2) as (figure, (upper, lower)):
        drawing.shade_target(upper, target, vertical=True)
        series = (
            ("clinicians", "clinicians", drawing.BLACK, "--"),
            ("agent", "agent", drawing.BLUE, "-"),
        )
        for key, label, colour, line in series:
            course = example.get(key)
            if not course:
                continue
            aptt = np.array(course["aptt"], dtype=float)
            dose = np.array(course["dose"], dtype=float)
            upper.plot(hours, aptt, color=colour, linestyle=line, label=label)
            lower.step(hours, dose, color=colour, linestyle=line, where="post")
            inside = np.mean((aptt >= target[0]) & (aptt <= target[1]))
            notes.append(f"{label}: {inside:.0%} of hours in range")
        upper.set(ylabel="aPTT (s)", title=f"Virtual patient {number}")
        lower.set(xlabel="Hours", ylabel=f"Dose ({unit or 'dose'})")
        lower.set_ylim(bottom=0)
        drawing.legend_below(figure, upper)
        caption = f"Virtual patient {number}, treated twice: {'; '.join(notes)}."
        return drawing.finish(figure, f"aPTT and dose by hour. {caption}", caption)
