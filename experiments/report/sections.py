"""What each section of the page shows, and why where it shows nothing.

A part of the run that is absent is left out with a sentence that gives the reason.
"""

from experiments.report import (
    figures,
    horizons,
    model_figures,
    policies,
    policy_figures,
    returns,
    tables,
    words,
)
from experiments.report.blocks import Block, block, hides, lacks
from experiments.report.results import Results

_MOST_EXAMPLES = 6
_CHARTS = ("in_range", "above_100", "r_p", "success")
# The paper's Fig. 4. Beside the truth, the model's own view only matters for what
# policies were trained on.
_MODEL_CHARTS = ("r_psi", "r_p")
_DIAGNOSTICS = (
    "reward/ess",
    "reward/largest_weight",
    "critic/bellman",
    "actor/entropy",
)
_INTERVENTION = {
    "slope_model": "slope in the model (log aPTT per 1000 U/h)",
    "slope_truth": "slope in truth (log aPTT per 1000 U/h)",
    "ratio": "ratio of the slopes (1 = right)",
    "rank": "rank correlation with truth (1 = same order)",
    "monotone": "share of cases where more heparin means higher aPTT",
}


def world_block(run: Results, world: str) -> Block:
    """Returns how policies did in one world."""
    rows = policies.rows_of(run, world)
    if not rows:
        if world == "simulator" and run.kind == "records":
            reason = (
                "Records have no simulator truth: nobody received the doses a policy "
                "would have chosen, so no policy can be tried on them."
            )
        else:
            reason = f"{words.WORLDS[world]}: not shown, no policy was run there."
        return block(absent=[reason])
    known = words.measures(words.target_of(run.get("dataset")))
    truth = policies.best_world(run) == "simulator"
    names = {"model": _MODEL_CHARTS, "records": ("agreement",)}.get(world, _CHARTS)
    if world == "model" and not truth:
        names = tuple(dict.fromkeys((*_MODEL_CHARTS, *_CHARTS)))
    scored = world == "model" and any(row.get("r_psi") is not None for row in rows)
    fourth = _MODEL_CHARTS if scored else ()
    charts = [
        policy_figures.comparison(
            rows, name, known[name], world, "Fig. 4. " * (name in fourth)
        )
        for name in names
    ]
    title = f"Policies: {words.WORLDS[world].lower()}"
    shown = [(title, table) for table in tables.policies(rows, known, hides(run))]
    if table := tables.successes(rows, known, run.get("published") or ()):
        shown.append(("Success by three definitions", table))
    if world == "model" and (table := returns.table(run)):
        shown.append((returns.TITLE, table))
    return block(charts, shown)


def reward_block(run: Results) -> Block:
    """Returns what reward was learned and how training moved."""
    pictures, shown, absent = [], [], []
    if curve := run.get("reward_curve"):
        target = words.target_of(run.get("dataset"))
        pictures.append(policy_figures.reward_curve(curve, target))
    else:
        absent.append(lacks("Learned reward against aPTT", "reward_curve"))
    learning = run.get("learning") or []
    for name, title in (("r_psi", "Fig. 2. "), ("r_p", "Fig. 3. ")):
        picture = figures.learning(learning, f"return/{name}", title)
        pictures.append(picture)
        if picture is None:
            absent.append(lacks(f"{title}Return under {name}", f"return/{name}"))
    if alignment := run.get("reward_alignment"):
        shown.append(("Does the reward rank doses well?", tables.alignment(alignment)))
    else:
        absent.append(lacks("Agreement with the true reward", "reward_alignment"))
    return block(pictures, shown, absent)


def dose_block(run: Results) -> Block:
    """Returns which dose each policy gives at which aPTT."""
    heatmap = run.get("dose_heatmap")
    if not heatmap:
        return block(absent=[lacks("Dose heatmaps", "dose_heatmap")])
    unit = words.dose_unit(run.get("dataset"))
    return block(
        policy_figures.dose_heatmap(heatmap, name, unit) for name in heatmap["policies"]
    )


def example_block(run: Results) -> Block:
    """Returns single virtual patients; real ones are never drawn."""
    if run.kind != "virtual":
        reason = (
            "Single patients are not drawn: only virtual patients may be shown one by "
            "one, and these data are not known to be virtual."
        )
        return block(absent=[reason])
    examples = run.get("examples")
    if not examples:
        return block(absent=[lacks("Single virtual patients", "examples")])
    dataset = run.get("dataset")
    target, unit = words.target_of(dataset), words.dose_unit(dataset)
    return block(
        policy_figures.patient(run.kind, example, number, target, unit)
        for number, example in enumerate(examples[:_MOST_EXAMPLES], start=1)
    )


def model_block(run: Results) -> Block:
    """Returns how far the learned dynamics model can be trusted."""
    pictures, shown, absent = [], [], []
    if test := run.get("intervention"):
        if test.get("curves"):
            unit = words.dose_unit(run.get("dataset"))
            pictures.append(model_figures.intervention(test["curves"], unit))
        table = tables.measured(test["rows"], "Intervention test", _INTERVENTION)
        if table.rows:
            shown.append(("Intervention test", table))
    else:
        reason = lacks("Intervention test", "intervention")
        if run.kind == "records":
            reason += " Records give no truth to compare with."
        absent.append(reason)
    if dynamics := run.get("dynamics"):
        quantities = dict.fromkeys(row["quantity"] for row in dynamics)
        pictures += [horizons.dynamics(dynamics, name) for name in quantities]
        shown.append(("Prediction error", tables.dynamics(dynamics)))
    else:
        absent.append(lacks("Prediction error", "dynamics"))
    if drift := run.get("drift"):
        pictures.append(horizons.drift(drift))
    else:
        absent.append(lacks("Drift of imagined states", "drift"))
    if calibration := run.get("calibration"):
        pictures.append(model_figures.calibration(calibration))
    else:
        absent.append(lacks("Calibration", "calibration"))
    if losses := run.get("member_losses"):
        pictures.append(model_figures.member_losses(losses))
    else:
        absent.append(lacks("Fig. 1, losses of the models", "member_losses"))
    return block(pictures, shown, absent)


def training_block(run: Results) -> Block:
    """Returns how training behaved; other metrics are only counted."""
    rows = run.get("learning") or []
    pictures = [figures.learning(rows, name) for name in _DIAGNOSTICS]
    drawn = {*_DIAGNOSTICS, "return/r_psi", "return/r_p"}
    others = {row["metric"] for row in rows} - drawn
    count = (
        "1 more metric is" if len(others) == 1 else f"{len(others)} more metrics are"
    )
    absent = [f"{count} in metrics.csv."] if others else []
    if not any(pictures):
        absent.insert(0, lacks("Training diagnostics", "learning"))
    return block(pictures, absent=absent)


def patients_block(run: Results) -> Block:
    """Returns who the patients are; small counts are hidden unless virtual."""
    hide, pictures, shown, absent = hides(run), [], [], []
    dataset = run.get("dataset") or {}
    if flow := run.get("cohort_flow"):
        pictures.append(figures.cohort_flow(flow, hide))
        shown.append(("Cohort flow", tables.cohort(flow, hide)))
    else:
        absent.append(lacks("Cohort flow", "cohort_flow"))
    if rows := run.get("table1"):
        table = tables.table_one(rows, dataset.get("stays") or {}, hide)
        shown.append(("Table 1. Characteristics", table))
    else:
        absent.append(lacks("Table 1", "table1"))
    if rows := run.get("missingness"):
        shown.append(("Missing values", tables.missingness(rows)))
    else:
        absent.append(lacks("Missing values", "missingness"))
    if dataset:
        shown.append(("Data set", tables.dataset(dataset, hide)))
    else:
        absent.append(lacks("Data set", "dataset"))
    return block(pictures, shown, absent)


def repeat_block(run: Results) -> Block:
    """Returns what is needed to repeat the run."""
    shown, absent = [], []
    for name in ("config", "versions", "timing"):
        if section := run.get(name):
            shown.append((name.capitalize(), tables.settings(section, "Name")))
        else:
            absent.append(lacks(name.capitalize(), name))
    return block((), shown, absent)
