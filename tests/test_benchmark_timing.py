"""Times are taken in turn, the first call of each left out, ratios within a repeat."""

import json

import pytest

from experiments.benchmark import printed, row, timing
from experiments.benchmark.row import Row
from experiments.benchmark.timing import Spread, Times, interleaved, spread


class Machine:
    """A clock that only work moves on; the machine slows down as it goes."""

    def __init__(self, costs):
        self.now, self.calls, self.costs = 0.0, [], costs

    def clock(self):
        return self.now

    def work(self, name):
        def run():
            self.calls.append(name)
            # The first call compiles.
            first = self.calls.count(name) == 1
            slower = 1.0 + 0.5 * ((len(self.calls) - 1) // len(self.costs))
            self.now += 100.0 if first else self.costs[name] * slower

        return run


def test_callables_take_turns_and_the_first_call_does_not_count():
    machine = Machine({"a": 1.0, "b": 3.0})
    callables = {name: machine.work(name) for name in machine.costs}
    times = interleaved(callables, 3, machine.clock)
    assert "".join(machine.calls) == "ab" + "ab" + "ba" + "ab"
    # Calls 3 and 4 take 1.5 times as long, 5 and 6 twice, 7 and 8 2.5 times.
    assert times["a"].seconds == (1.5, 2.0, 2.5)
    assert times["b"].seconds == (4.5, 6.0, 7.5)


def test_ratios_are_of_one_repeat_and_do_not_see_a_machine_slow_down():
    one, other = Times((1.0, 2.0, 4.0)), Times((3.0, 6.0, 12.0))
    assert one.ratio(other) == Spread(3.0, 3.0, 3.0)
    # Medians of each would say 2 / 3 of this.
    assert Times((1.0, 4.0)).ratio(Times((2.0, 2.0))) == Spread(0.5, 1.25, 2.0)
    with pytest.raises(ValueError, match="shorter"):
        one.ratio(Times((1.0,)))


def test_short_work_is_repeated_within_a_call():
    machine = Machine({"a": 1.0})
    run = timing.again(machine.work("a"), 3)
    run()
    assert machine.calls == ["a"] * 3
    times = interleaved({"a": run}, 1, machine.clock)["a"]
    # A call of slower work each: six ran before, the next are 4, 4.5 and 5 times.
    assert times.seconds == (13.5,)


def test_rates_and_spreads():
    times = Times((0.5, 2.0, 1.0))
    assert times.rate(10.0) == Spread(5.0, 10.0, 20.0)
    assert times.scaled(0.5) == Spread(0.25, 0.5, 1.0)
    assert spread([3.0, 1.0, 2.0, 10.0]) == Spread(1.0, 2.5, 10.0)


def test_a_share_is_of_the_ceiling_in_the_same_repeat():
    # 20 units of 5 operations in 2 s are 50 a second; 400 in 4 s are 100.
    fields = row.bound_by_products(Times((2.0, 4.0)), Times((4.0, 4.0)), 20, 5.0, 400.0)
    assert fields["share"] == Spread(0.25, 0.375, 0.5)
    assert fields["value"] == Spread(5.0, 7.5, 10.0)
    assert fields["ceiling"] == Spread(100.0, 100.0, 100.0) and fields["flops"] == 5.0


def exactly(value):
    return Spread(value, value, value)


@pytest.mark.parametrize(
    ("fields", "met"),
    [
        ({}, None),
        ({"target": 2.0}, True),
        ({"target": 2.1}, False),
        ({"target": 2.0, "at_most": True}, True),
        ({"target": 1.9, "at_most": True}, False),
        ({"share": exactly(0.7), "share_target": 0.7}, True),
        ({"share": exactly(0.7), "share_target": 0.8}, False),
        ({"share": exactly(0.7), "share_target": 0.8, "target": 1.0}, False),
    ],
)
def test_a_row_says_whether_its_targets_are_met(fields, met):
    one = Row("piece", "what", "unit", exactly(2.0), **fields)
    assert one.met is met
    assert one.as_dict().get("met") is met
    said = printed.line(one)
    assert ("NO" in said) == (met is False) and (" yes " in said) == (met is True)
    json.dumps(one.as_dict())


def test_what_was_not_measured_is_neither_met_nor_left_out():
    one = Row("piece", "what", "x", None, target=1.8, note="torch is not installed")
    assert one.met is None and one.as_dict()["value"] is None
    said = printed.line(one)
    assert "not measured" in said and "torch is not installed" in said
    assert printed.summary([one, Row("a", "b", "c", exactly(1.0), target=1.0)]) == (
        "1 of 1 targets met"
    )


def test_a_line_shows_value_share_target_and_place():
    one = Row(
        "rollouts",
        "transitions",
        "transitions/s",
        Spread(300_000.0, 410_000.4, 420_000.0),
        target=400_000.0,
        flops=3.9e5,
        ceiling=exactly(2.1e11),
        share=Spread(0.6, 0.72, 0.8),
        against="seeds",
        at=4.0,
    )
    said = printed.line(one)
    for part in (
        "410,000 (300,000..420,000) transitions/s",
        "72 % (60..80) of 210 GFLOP/s",
        ">= 400,000",
        "seeds 4",
        "[0.39 MFLOP]",
    ):
        assert part in said
