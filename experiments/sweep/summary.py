"""What a sweep came to: files, a table for the terminal, and its page."""

import pathlib

import pandas as pd

from experiments import repeating
from experiments.config import RunConfig, flat
from experiments.report import blocks, drawing, words
from experiments.report import page as page_lib
from experiments.report.blocks import Block
from experiments.report.tables import Table
from experiments.sweep.config import SweepConfig
from omgrl_jax.runtime import metrics, storage

# Measures that tell settings apart, the most telling first, and what they mean.
MEASURES = {
    "simulator/stochastic/r_p": "r_p an hour in the true simulator, doses drawn",
    "simulator/stochastic/in_range": "share of true hours in the target range",
    "simulator/stochastic/above": "share of true hours above the range",
    "simulator/greedy/r_p": "r_p an hour in the true simulator, likeliest dose",
    "model/stochastic/r_p": "r_p an hour in the learned world: no evidence",
    "records/log_prob": "mean log-probability of clinicians' held-out decisions",
    "records/agreement": "share of held-out decisions whose likeliest action was taken",
}
_FIXED = ("configuration", "seed", "metric", "value")
_DRAWN = 3  # measures with a figure


def write(
    out: pathlib.Path, sweep: SweepConfig, config: RunConfig, table: pd.DataFrame
) -> str:
    """Writes table.csv, sweep.json and report/index.html.

    Args:
      out: directory of the sweep.
      sweep: what was swept.
      config: what all settings have in common.
      table: of `study.run`.

    Returns:
      The table that ends the run.
    """
    metrics.write_csv(out / "table.csv", table)
    names = settings_of(table)
    common = {k: v for k, v in flat(config).items() if k not in names}
    told = {"method": sweep.experiment, "grid": sweep.grid, "config": common}
    told |= repeating.sections(repeating.Clock())
    metrics.write_summary(out / "sweep.json", told)
    page = page_lib.render_study(make(sweep, table))
    report = storage.atomic_write(out / "report" / "index.html", page)
    return f"\n{summarised(table).to_string()}\n\nReport: {report}"


def settings_of(table: pd.DataFrame) -> list[str]:
    """Names of the settings of the grid."""
    return [name for name in table.columns if name not in _FIXED]


def labelled(table: pd.DataFrame) -> pd.DataFrame:
    """The table with a column `setting` that names the point of the grid."""
    names = settings_of(table)
    if not names:
        return table.assign(setting="as given")
    plain = table[names].map(
        lambda x: ",".join(map(str, x)) if isinstance(x, list) else x
    )
    parts = [plain[name].map(lambda x, n=name: f"{n}={x}") for name in names]
    return table.assign(setting=pd.concat(parts, axis=1).agg(" ".join, axis=1))


def summarised(table: pd.DataFrame) -> pd.DataFrame:
    """Mean ± standard deviation over seeds: a row for each setting."""
    shown = [name for name in MEASURES if name in set(table["metric"])]
    named = labelled(table[table["metric"].isin(shown)])
    grouped = named.groupby(["setting", "metric"], sort=False)["value"]
    mean, spread = grouped.mean().unstack(), grouped.std(ddof=1).unstack()
    seeds = named.groupby("setting", sort=False)["seed"].nunique()
    columns = {
        name: [_shown(*pair) for pair in zip(mean[name], spread[name], strict=True)]
        for name in shown
    }
    found = pd.DataFrame(columns, index=mean.index)
    found.insert(0, "seeds", seeds)
    return found.reindex(dict.fromkeys(named["setting"]))


def make(sweep: SweepConfig, table: pd.DataFrame) -> page_lib.Study:
    """The page before it is put into its template."""
    shown = summarised(table)
    names = [name for name in MEASURES if name in shown.columns]
    seeds = sorted({int(s) for s in table["seed"]})
    return page_lib.Study(
        title=f"{words.policy(sweep.experiment)}: {len(shown)} settings",
        scope=(
            f"Grid: {sweep.grid or 'none, the settings as given'}. Seeds: "
            f"{len(seeds)}, {seeds[0]} to {seeds[-1]}."
        ),
        findings=_findings(table, names),
        terms=[(name, MEASURES[name]) for name in names],
        sections=[
            ("settings", "What does each setting come to?", _block(table, shown))
        ],
        beside="table.csv (every measure of every seed), sweep.json (the settings)",
    )


def _block(table: pd.DataFrame, shown: pd.DataFrame) -> Block:
    columns = ["Setting", *map(str, shown.columns)]
    rows = [
        [str(name), *map(str, row)]
        for name, row in zip(shown.index, shown.values, strict=True)
    ]
    note = "Mean ± standard deviation over seeds. Training metrics: table.csv."
    drawn = [name for name in MEASURES if name in shown.columns][:_DRAWN]
    pictures = [_picture(labelled(table), name) for name in drawn]
    return blocks.block(pictures, [("Settings", Table(columns, rows, note))])


def _picture(named: pd.DataFrame, measure: str) -> drawing.Picture:
    """Every seed as a point, the mean as a bar, settings below each other."""
    of = named[named["metric"] == measure]
    settings = list(dict.fromkeys(of["setting"]))
    with drawing.canvas(1.0 + 0.32 * len(settings)) as (figure, axes):
        for place, name in enumerate(reversed(settings)):
            values = of.loc[of["setting"] == name, "value"]
            axes[0].plot(values, [place] * len(values), "o", color=drawing.SKY, ms=4)
            axes[0].plot(values.mean(), place, "|", color=drawing.BLACK, ms=14, mew=2)
        axes[0].set_yticks(range(len(settings)), list(reversed(settings)))
        axes[0].set_title(measure)
        caption = f"{MEASURES[measure]}: seeds (points) and their mean (bar)."
        return drawing.finish(figure, f"{measure} by setting", caption)


def _findings(table: pd.DataFrame, names: list[str]) -> list[str]:
    """The setting with the best mean, and how far it is from the next one."""
    if not names:
        return ["No measure by which settings could be compared: see table.csv."]
    of = labelled(table[table["metric"] == names[0]])
    wide = of.pivot(index="seed", columns="setting", values="value")
    order = wide.mean().sort_values(ascending=False).index
    best = f"{order[0]}: {words.typeset(f'{wide[order[0]].mean():.3g}')}"
    if len(order) == 1:
        return [f"{names[0]} is {best}."]
    apart = metrics.paired_difference(wide[order[0]], wide[order[1]])
    by = words.typeset(f"{apart.mean:.2g}")
    said = f"By {names[0]} the best setting is {best}, {by} above the next, {order[1]}"
    if len(wide) > 1:
        said += f" (seed by seed, ± {words.typeset(f'{apart.deviation:.2g}')})"
    if names[0].startswith("model/"):
        said += "; the learned world is no evidence, others may be truly better"
    return [
        f"{said}. Of many settings the best is partly luck: repeat it on new seeds."
    ]


def _shown(mean: float, spread: float) -> str:
    if mean != mean:  # a measure that this setting does not have
        return "-"
    return f"{mean:.3f}" + ("" if spread != spread else f" ± {spread:.3f}")
