"""The study's main figures as text, for the terminal."""

from collections.abc import Mapping, Sequence

from experiments.iql_multitask import clinical, labels
from experiments.report import estimates


def table(found: Mapping[str, Sequence[labels.Row]]) -> str:
    """The main figures as text.

    Args:
      found: of `study.run`.
    """
    head = f"{'policy':<40}{'value':>16}{'survival':>16}{'tests':>8}"
    lines = [f"{head}{'WDR, softened':>16}{'its truth':>16}"]
    everyone = [*found["policies"], *found["clinical"]]
    for policy in labels.shown(everyone):
        for mode in labels.ACTED:
            own, tested = (
                labels.exactly(rows, policy, mode)
                for rows in (found["policies"], found["clinical"])
            )
            if not own and (not tested or mode == "-"):
                continue
            judged = [clinical.passes(r) for r in tested if "pressure" in r]
            passed = sum(all(one.values()) for one in judged)
            estimated = [
                r
                for r in found["off_policy"]
                if (r["policy"], r["mode"], r["estimator"]) == (policy, mode, "wdr")
            ]
            lines.append(
                f"{labels.acting(policy, mode):<40}{_text(own, 'value'):>16}"
                f"{_text(own, 'survived'):>16}"
                f"{f'{passed}/{len(judged)}' if judged else '':>8}"
                f"{_text(estimated, 'value'):>16}{_text(estimated, 'truth'):>16}"
            )
    return "\n".join(lines)


def _text(rows: Sequence[labels.Row], measure: str) -> str:
    mean = estimates.over_seeds(rows, measure)
    if mean is None:
        return ""
    return f"{mean.mean:.2f}" + ("" if mean.sd is None else f" ± {mean.sd:.2f}")
