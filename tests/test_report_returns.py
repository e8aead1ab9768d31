"""Returns beside promises, and Fig. 4: which numbers may stand side by side."""

import pytest
import report_results
from report_results import checked

from experiments.report import returns, sections

pytestmark = pytest.mark.usefixtures("undrawn")
CONFIG = {"hours": 48, "model_hours": 24, "agent_discount": 0.99}


def _plain(text):
    return text.replace("\u00a0", " ").replace("\u2212", "-")


def _policies():
    """The made rows; the learned reward scores nobody in truth."""
    rows = report_results.build()["policies"]
    for row in rows:
        if row["world"] == "simulator":
            del row["r_psi"]
        elif "promised" in row:
            row["promised"] += row["seed"]
    return rows


def test_returns_stand_beside_what_the_critic_promises():
    found = returns.table(checked(policies=_policies(), config=CONFIG))
    assert [_plain(name) for name in found.columns] == [
        "Policy",
        "Return under r_p, true simulator, 48 h",
        "Return under r_p, model, 24 h",
        "Return under r_psi, model, 24 h",
        "Q under r_p",
        "Q under its own r_psi",
        "n",
    ]
    rows = {row[0]: [_plain(cell) for cell in row[1:]] for row in found.rows}
    # r_p of .05 and r_psi of 1 an hour, deviations of .01 over seeds; Q of 5, 6, 7.
    assert rows["COMBO, stochastic"] == [
        "2.400 ± 0.480",
        "1.200 ± 0.240",
        "24.000 ± 0.240",
        "6.000 ± 1.000",
        "–",
        "3",
    ]
    assert rows["OMG-RL, stochastic"][3:5] == ["–", "-3.000 ± 0.000"]
    assert rows["Clinicians"][3:5] == ["–", "–"]
    assert "with a discount of 0.99, a reward of 1 in every hour is a Q of 100" in (
        found.note
    )
    assert "in the unit of that reward" in found.note


def test_promises_stand_in_no_other_table_and_only_where_there_are_some():
    run = checked(policies=_policies(), config=CONFIG)
    shown = dict(sections.world_block(run, "model").tables)
    assert returns.TITLE in shown
    others = [table for title, table in shown.items() if title != returns.TITLE]
    assert not any("Q " in name for table in others for name in table.columns)
    assert returns.TITLE not in dict(sections.world_block(run, "simulator").tables)
    bare = [
        {k: v for k, v in row.items() if not k.startswith("promised")}
        for row in _policies()
    ]
    assert returns.table(checked(policies=bare, config=CONFIG)) is None


def test_without_the_hours_of_an_episode_no_return_is_made_up():
    found = returns.table(checked(policies=_policies(), config={}))
    assert found.columns[1:-1] == ["Q under r_p", "Q under its own r_psi"]
    assert "discount of" not in found.note


@pytest.mark.parametrize("kind", ["virtual", "records"])
def test_fig_four_is_found_by_its_name(kind):
    """Scores in the model under r_psi and r_p, whether a truth is known or not."""
    pictures = sections.world_block(checked(kind), "model").pictures
    named = [one for one in pictures if one.caption.startswith("Fig. 4. ")]
    assert [one.caption[8:18] for one in named] == ["r_psi per ", "r_p per ho"]
    assert len({one.caption for one in pictures}) == len(pictures)


def test_fig_four_leaves_out_who_was_not_scored_by_the_one_reward():
    rows = _policies()
    rows += [
        {"policy": "airl", "mode": "stochastic", "world": world, "seed": 0, "r_p": 0.1}
        for world in ("model", "simulator")
    ]
    pictures = sections.world_block(checked(policies=rows), "model").pictures
    psi, clinical = (one for one in pictures if one.caption.startswith("Fig. 4. "))
    assert "AIRL" not in psi.alt and "AIRL" in clinical.alt
    assert "not scored by it are left out" in psi.caption
    for row in rows:
        row.pop("r_psi", None)
    # Without a learned reward there is no Fig. 4, only r_p in the model.
    pictures = sections.world_block(checked(policies=rows), "model").pictures
    assert not any("Fig. 4" in one.caption for one in pictures)
