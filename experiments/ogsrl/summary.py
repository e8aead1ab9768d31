"""The study's main figures as text, for the terminal."""

from collections.abc import Mapping, Sequence

from experiments.config import RunConfig
from experiments.ogsrl import labels
from experiments.report import estimates


def table(config: RunConfig, found: Mapping[str, Sequence[labels.Row]]) -> str:
    """The main figures as text: in truth where it is known, else where judged.

    Args:
      config: settings of the methods.
      found: of `study.run`.
    """
    rows = found["policies"]
    where = "truth" if any(r["where"] == "truth" for r in rows) else "judging"
    measures = ["value", "outside", *(f"unsafe_{c}" for c in config.limits.costs)]
    heads = [m.removeprefix("unsafe_") for m in measures]
    lines = [f"{'policy':<30}" + "".join(f"{head:>18}" for head in heads)]
    others = sorted({r["policy"] for r in rows} - set(labels.LABELS))
    for policy in [*labels.shown(rows), *others]:
        own = labels.of(rows, policy, where)
        cells = "".join(f"{_text(own, name):>18}" for name in measures)
        lines.append(f"{labels.LABELS.get(policy, policy):<30}{cells}")
    place = {"truth": "in truth", "judging": "in the world of held-out patients"}
    limits = [
        f"{name} {limit:g}"
        for name, limit in zip(config.limits.costs, config.limits.most, strict=True)
    ]
    limits.append(f"outside {config.limits.outside:g}")
    return "\n".join([*lines, f"({place[where]}; limits: {', '.join(limits)})"])


def _text(rows: Sequence[labels.Row], measure: str) -> str:
    mean = estimates.over_seeds(rows, measure)
    if mean is None:
        return ""
    return f"{mean.mean:.3f}" + ("" if mean.sd is None else f" ± {mean.sd:.3f}")
