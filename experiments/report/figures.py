"""Figures of the run as a whole: who was in the cohort, how training went."""

import textwrap
from collections.abc import Sequence

from matplotlib.patches import FancyBboxPatch

from experiments.report import drawing, estimates, words
from experiments.report.drawing import Picture
from experiments.report.estimates import Row

METRICS = {
    "return/r_psi": "Return under the learned reward r_psi",
    "return/r_p": "Return under the clinical reward r_p",
    "reward/ess": "Effective sample size (share of the pool)",
    "reward/largest_weight": "Largest weight",
    "critic/bellman": "Error of the critic",
    "actor/entropy": "Entropy of the policy (nats)",
}


def cohort_flow(rows: Sequence[Row], hide: bool) -> Picture:
    """Draws the stays that remain after each rule, top to bottom.

    Args:
      rows: section `cohort_flow`.
      hide: whether counts of one to ten are hidden.
    """
    flow = estimates.merge_flow(rows, hide)
    labels = [textwrap.fill(row["rule"], 36) for row in flow]
    heights = [1.35 + 0.55 * label.count("\n") for label in labels]
    with drawing.canvas(0.36 * sum(heights)) as (figure, (axes,)):
        axes.set(xlim=(0, 10), ylim=(-sum(heights), 0))
        axes.axis("off")
        top = 0.0
        for row, label, height in zip(flow, labels, heights, strict=True):
            middle, bottom = top - height / 2, top - height + 0.2
            axes.add_patch(
                FancyBboxPatch(
                    (0.1, bottom),
                    9.8,
                    height - 0.4,
                    boxstyle="round,pad=0,rounding_size=0.15",
                    facecolor="#EAF2F8",
                    edgecolor=drawing.BLUE,
                )
            )
            axes.text(0.3, middle, label, va="center", ha="left")
            removed = f"−{row['removed']}" if row["removed"] != "0" else ""
            axes.text(7.4, middle, removed, va="center", ha="right", color="#A03C00")
            axes.text(
                9.7, middle, row["remaining"], va="center", ha="right", weight="bold"
            )
            if top:
                arrow = {"arrowstyle": "-|>", "color": drawing.GREY}
                ends = (5, top - 0.3), (5, top + 0.3)
                axes.annotate("", *ends, arrowprops=arrow)
            top -= height
        alt = "Cohort flow. " + " ".join(
            f"{row['rule']}: {row['removed']} removed, {row['remaining']} remain."
            for row in flow
        )
        caption = (
            "The rules in the order they were applied: how many stays each removed "
            "(−) and, in bold, how many remained."
        )
        return drawing.finish(figure, alt, caption)


def learning(rows: Sequence[Row], metric: str, figure_name: str = "") -> Picture | None:
    """Draws one metric by training step: mean and spread over seeds.

    Args:
      rows: section `learning`.
      metric: name of the metric.
      figure_name: prefix of the caption, such as "Fig. 2. ".

    Returns:
      The picture, or None where the metric was not recorded.
    """
    chosen = [r for r in rows if r["metric"] == metric and r["value"] is not None]
    if not chosen:
        return None
    title = METRICS.get(metric, metric)
    notes, most = [], 0
    with drawing.canvas(2.9) as (figure, (axes,)):
        for (name,), members in estimates.group(chosen, "algorithm").items():
            colour, marker = drawing.policy_style(name)
            steps = estimates.group(members, "step")
            points = [
                (step, mean)
                for (step,), group in sorted(steps.items())
                if (mean := estimates.over_seeds(group, "value"))
            ]
            x = [step for step, _ in points]
            mean = [e.mean for _, e in points]
            spread = [e.sd or 0.0 for _, e in points]
            low = [m - s for m, s in zip(mean, spread, strict=True)]
            high = [m + s for m, s in zip(mean, spread, strict=True)]
            every = max(1, len(x) // 8)
            axes.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)
            axes.plot(
                x,
                mean,
                color=colour,
                marker=marker,
                markevery=every,
                ms=4.5,
                label=words.policy(name),
            )
            seeds = max(e.n for _, e in points)
            most = max(most, seeds)
            notes.append(
                f"{words.policy(name)} goes from {mean[0]:.3g} to {mean[-1]:.3g} "
                f"({seeds} seed{'s' * (seeds > 1)})."
            )
        axes.set(xlabel="Training step", title=title)
        drawing.legend_below(figure, axes)
        spread_note = (
            f"Line: mean over up to {most} seeds; band: one standard deviation."
            if most > 1
            else "One seed: no spread can be shown."
        )
        alt = f"Line chart of {title} by training step. " + " ".join(notes)
        return drawing.finish(figure, alt, f"{figure_name}{title}. {spread_note}")
