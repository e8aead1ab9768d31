"""What the cells of `experiments.paper` come to, put together for one report."""

from typing import Any

from experiments.config import RunConfig

EXPERT_STAYS = (100, 300, 500, 1000, 1500)
# What the report calls OMG-RL with the settings of its authors' code.
AUTHORS = {"authors": "omg_rl_authors"}
SOURCE = "Lim and Lee 2024, arXiv 2409.13299"
# Sections with a row for each policy and seed.
BY_POLICY = ("policies", "support", "ood_safety")
_Results = dict[str, dict[str, Any]]


def merged(config: RunConfig, main: dict[str, Any], results: _Results) -> dict:
    """The sections of the one report.

    Args:
      config: the main run's setting.
      main: the sections of the main run.
      results: cell -> its sections.

    Returns:
      The main run's sections with the rows of every cell.
    """
    return {
        **main,
        **{
            name: [*(main.get(name) or []), *policy_rows(results, name)]
            for name in BY_POLICY
        },
        "reward_alignment": main["reward_alignment"] + alignment_rows(results),
        "expert_stays": expert_stays(config, main, results),
        "published": published(main),
    }


def policy_rows(results: _Results, section: str) -> list[dict[str, Any]]:
    """Rows of every other method's own policies.

    Args:
      results: cell -> its sections.
      section: one of `BY_POLICY`.

    Returns:
      The rows, `authors` as OMG-RL under another name, without `r_psi`: a cell scores
      its policies by a reward of its own, which is no measure for those of another.
      Cloned clinicians, whom every cell judges again, are those of the main run.
    """
    rows = []
    for name, sections in results.items():
        if name.startswith("stays_"):
            continue
        learned = sections["config"]["algorithms"]
        for row in sections.get(section) or []:
            if row["policy"] in learned:
                kept = {k: v for k, v in row.items() if k != "r_psi"}
                rows.append({**kept, "policy": AUTHORS.get(name, row["policy"])})
    return rows


def alignment_rows(results: _Results) -> list[dict[str, Any]]:
    """How the rewards of the other methods rank doses, called by their method."""
    return [
        {**row, "reward": f"r_psi of {AUTHORS.get(name, name)}"}
        for name, sections in results.items()
        for row in sections["reward_alignment"]
        if row["reward"] == "r_psi" and not name.startswith("stays_")
    ]


def expert_stays(
    config: RunConfig, main: dict[str, Any], results: _Results
) -> list[dict[str, Any]]:
    """Table II: OMG-RL by number of expert stays, a row for each size and seed."""
    sizes = {}
    own = config.train_stays or main["dataset"]["stays"]["train"]
    if isinstance(own, int):  # few stays are not counted in results
        sizes[own] = main
    for name, sections in results.items():
        if name.startswith("stays_"):
            sizes[int(name.removeprefix("stays_"))] = sections
    rows = []
    for stays, sections in sorted(sizes.items()):
        for seed in config.seed_list:
            row: dict[str, Any] = {"stays": stays, "seed": seed}
            row["return_r_p_model"] = last_return(sections, seed)
            for found in sections["policies"]:
                key = [found[k] for k in ("policy", "mode", "world", "seed")]
                if key == ["omg_rl", "stochastic", "simulator", seed]:
                    row |= {k: found[k] for k in ("r_p", "in_range", "above")}
            rows.append({k: v for k, v in row.items() if v is not None})
    return rows


def last_return(sections: dict[str, Any], seed: int, points: int = 5) -> float | None:
    """OMG-RL's return under r_p in its rollouts, mean of the last logged epochs."""
    curve = [
        (row["step"], row["value"])
        for row in sections["learning"]
        if (row["algorithm"], row["metric"]) == ("omg_rl", "return/r_p")
        and row["seed"] == seed
    ]
    values = [value for _, value in sorted(curve)[-points:] if value is not None]
    return sum(values) / len(values) if values else None


def published(main: dict[str, Any]) -> list[dict[str, Any]]:
    """The paper's own numbers, with where they stand and what is ours beside them.

    Args:
      main: the sections of the main run.
    """
    table = zip(EXPERT_STAYS, (11.70, 16.70, 19.5, 15.4, 12.74), strict=True)
    rows = [
        {
            "figure": "Table II",
            "quantity": f"return, {stays} expert stays",
            "value": value,
            "stays": stays,
        }
        for stays, value in table
    ]
    rows.append(
        {
            "figure": "Fig. 1",
            "quantity": "validation loss of the five best members, at most",
            "value": 0.2,
            "ours": largest_loss(main.get("member_losses")),
        }
    )
    rows.append(
        {
            "figure": "later version",
            "quantity": "treatment success of the agent, mean of ten runs",
            "value": 0.60,
            "policy": "omg_rl",
            # The authors' code: any predicted reward of at least .2.
            "measure": "success_any_0.2",
        }
    )
    return [{**row, "source": SOURCE} for row in rows]


def largest_loss(losses: dict[str, Any] | None) -> str | None:
    """The largest validation loss of the members that were kept, in words.

    Args:
      losses: section `member_losses`.

    Returns:
      The loss, which is on another scale than the paper's, and the squared error, which
      may be on the same; None without the section.
    """
    if not losses:
        return None
    best = [
        min(x for x in losses["validation"][member] if x is not None)
        for member in losses["elites"]
    ]
    loss = f"{max(best):.3g}".replace("-", "\u2212")
    said = f"{loss} (Gaussian negative log-likelihood: another scale)"
    errors = losses.get("squared_error")
    if not errors:
        return said
    still = losses["persistence_squared"]
    return (
        f"{said}\nmean squared error of the standardised change: {max(errors):.3g}\n"
        f"(where no change is predicted: {still:.3g})"
    )
