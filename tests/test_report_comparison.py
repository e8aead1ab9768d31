"""Several runs: what is compared with what, seed by seed, and what is said of it."""

import re

import pytest
import report_results

from experiments.report import comparison, overview, page, policies, results
from experiments.report.comparison import Member

pytestmark = pytest.mark.usefixtures("undrawn")

MEMBERS = report_results.members()


def _tables(group):
    return {
        title: {row[0]: row[1:] for row in table.rows}
        for title, table in comparison.block(group).tables
    }


@pytest.mark.parametrize(
    ("folders", "labels"),
    [
        (["/u/x/a", "/u/x/b/"], ["a", "b"]),
        (["/u/one/run", "/u/two/run"], ["one/run", "two/run"]),
        (["/u/run", "/u/two/run"], ["u/run", "two/run"]),
    ],
)
def test_labels_are_as_short_as_tells_runs_apart(folders, labels):
    assert comparison.labels(folders) == labels


def test_runs_are_compared_within_one_dataset_and_world():
    first, second = comparison.groups(MEMBERS)
    assert [m.label for m in first.members] == ["first", "second"]
    assert (first.world, second.world) == ("simulator", "model")
    assert first.name == f"data set virtual-600 ({'3f' * 6})"
    # The same data, judged in the model alone: another yardstick.
    document = report_results.build()
    rows = [row for row in document["policies"] if row["world"] == "model"]
    model = results.check({**document, "policies": rows})
    assert len(comparison.groups([MEMBERS[0], Member("model", model)])) == 2


def test_runs_that_do_not_say_which_data_are_compared_with_none():
    document = report_results.build()
    del document["dataset"]["hash"]
    run = results.check(document)
    groups = comparison.groups([Member("a", run), Member("b", run)])
    assert [len(group.members) for group in groups] == [1, 1]
    assert "run b does not say which" in groups[1].name


def test_what_runs_agree_on_stands_once():
    names = [line.label for line in comparison.lines(comparison.groups(MEMBERS)[0])]
    assert names == [
        "OMG-RL [first]",
        "OMG-RL [second]",
        "COMBO",
        "Clinicians",
        "Behavioural cloning [first]",
        "Behavioural cloning [second]",
        "Random doses",
        "No heparin",
    ]


def test_methods_stand_with_spread_interval_and_reward():
    rows = _tables(comparison.groups(MEMBERS)[0])["Methods"]
    # sd .01 over 3 seeds: half width 4.3027 * .01 / sqrt(3) = .0248.
    assert rows["OMG-RL [second]"] == [
        "44.0\u00a0±\u00a01.0\u00a0%\n[41.5\u00a0to\u00a046.5\u00a0%]",
        "0.100\u00a0±\u00a00.010\n[0.075\u00a0to\u00a00.125]",
        "12.0\u00a0±\u00a00.0\u00a0%\n[12.0\u00a0to\u00a012.0\u00a0%]",
        "60.0\u00a0±\u00a01.0\u00a0%\n[57.5\u00a0to\u00a062.5\u00a0%]",
        "0.600\u00a0±\u00a00.010\n[0.575\u00a0to\u00a00.625]",
        "3",
    ]
    assert rows["COMBO"][4] == "–"  # learned no reward
    assert rows["Behavioural cloning [first]"][4].startswith("0.530")


def test_difference_to_clinicians_is_paired_by_seed():
    rows = _tables(comparison.groups(MEMBERS)[0])["Difference to clinicians"]
    assert "Clinicians" not in rows
    # .44 - .52 and .30 - .20 - .04, the same in every seed: no spread at all.
    assert rows["OMG-RL [second]"][0].startswith("−8.0\u00a0±\u00a00.0\u00a0%")
    assert rows["OMG-RL [second]"][1].startswith("0.060\u00a0±\u00a00.000")


def _two_seeds(values, doctors=None, **config):
    """A run of two seeds whose OMG-RL has the given r_p."""
    rows = [
        {"policy": name, "mode": "-", "world": "simulator", "seed": seed, "r_p": value}
        for name, numbers in (("omg_rl", values), ("clinicians", doctors or {}))
        for seed, value in numbers.items()
    ]
    document = {"title": "t", "kind": "virtual", "dataset": {"hash": "aa"}}
    return results.check({**document, "policies": rows, "config": config})


def test_clinicians_of_a_like_run_are_used_for_the_same_seeds_only():
    setting = {"patients": 400, "hours": 48}
    whole = _two_seeds({0: 0.0, 1: 0.0}, {0: 0.1, 1: 0.3}, **setting)
    bare = _two_seeds({1: 0.5, 2: 9.0}, **setting)
    other = _two_seeds({1: 0.5}, patients=20, hours=48)
    members = [Member("whole", whole), Member("bare", bare), Member("other", other)]
    (group,) = comparison.groups(members)
    rows = _tables(group)["Difference to clinicians"]
    # Seed 1 alone is in both: .5 - .3. Other patients are no yardstick.
    assert rows["OMG-RL [bare]"][1:2] + rows["OMG-RL [bare]"][-1:] == ["0.200", "1"]
    assert "OMG-RL [other]" not in rows


def test_settings_that_differ_are_named_and_only_these():
    rows = _tables(comparison.groups(MEMBERS)[0])["What differs between the runs"]
    assert rows == {"first": ["reward_mode = paper"], "second": ["reward_mode = step"]}


def test_forest_has_clinicians_and_imitation_as_lines(monkeypatch):
    seen = []
    draw = comparison.forest.picture
    monkeypatch.setattr(
        comparison.forest,
        "picture",
        lambda *arguments: seen.append(arguments[3]) or draw(*arguments),
    )
    comparison.block(comparison.groups(MEMBERS)[1])
    lines = {one.label: round(one.value, 6) for one in seen[1]}
    assert lines == {"Clinicians": 0.04, "Behavioural cloning": -0.28}


def test_first_screen_ranks_and_warns_of_luck():
    members = MEMBERS
    groups = comparison.groups(members)
    first, second = map(overview.summary, groups)
    text = " ".join(first.findings)
    assert "OMG-RL [second] 0.100" in text
    assert text.index("OMG-RL [second]") < text.index("COMBO")
    assert "OMG-RL [second] against clinicians, r_p an hour: +0.060" in text
    assert "3 seeds): better." in text
    # Its own run's imitation: .1 - (-.08).
    assert "against behavioural cloning, r_p an hour: +0.180" in text
    assert "The first of 3 is partly first by luck" in text
    assert "not evidence" in second.origin
    assert ": better" not in " ".join(second.findings)
    assert "not comparable" in overview.scope(members, groups)
    assert "not comparable" not in overview.scope(members[:2], groups[:1])


def test_reward_is_given_to_the_method_that_learned_it():
    def run(names, rewards, learners):
        rows = [{"policy": n, "mode": "-", "world": "model", "seed": 0} for n in names]
        ranks = [{"seed": 0, "reward": r, "within_state": 0.5} for r in rewards]
        step = {"seed": 0, "step": 1, "metric": "return/r_psi", "value": 0.0}
        # Every method logs its return under r_p; that is no sign of a reward.
        learning = [
            {**step, "algorithm": "combo", "metric": "return/r_p"},
            *({**step, "algorithm": name} for name in learners),
        ]
        document = {"title": "t", "kind": "other", "policies": rows}
        document |= {"reward_alignment": ranks, "learning": learning}
        return set(policies.reward_rows(results.check(document)))

    two = ["r_psi", "r_psi of airl", "log_mu"]
    assert run(["combo", "omg_rl", "airl"], two, ["omg_rl", "airl"]) == {
        "omg_rl",
        "airl",
        "behavioural_cloning",
    }
    assert run(["omg_rl"], ["r_psi"], []) == {"omg_rl"}
    assert run(["omg_rl", "combo"], ["r_psi"], []) == set()  # cannot be told


@pytest.fixture
def html():
    return page.render_several(MEMBERS)


def test_identifiers_are_unique_and_every_link_has_its_place(html):
    names = re.findall(r'\bid="([^"]+)"', html)
    assert len(set(names)) == len(names)
    assert set(re.findall(r'href="#([^"]+)"', html)) <= set(names)


def test_page_holds_each_run_folded_and_studies_once(html):
    assert html.count('<details class="run"') == 3
    assert html.count("NOT FOR CLINICAL USE") >= 2
    assert html.count("What each setting changes") == 1
    assert "The groups below are not comparable" in html
    assert html.index("What came of it") < html.index("How do the methods compare?")


def test_text_of_runs_is_escaped_on_the_page_of_several():
    attack = '<script>alert(1)</script>"onload="'
    document = {"title": attack, "kind": "other", "dataset": {"name": attack}}
    document["policies"] = [
        {"policy": attack, "mode": "-", "world": "model", "seed": 0, "r_p": 0.1}
    ]
    run = results.check(document)
    html = page.render_several([Member(attack, run), Member("b", run)])
    assert "<script" not in html
    assert '"onload="' not in html
