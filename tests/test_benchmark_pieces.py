"""Every piece at a tiny size, the script around them, and what it writes."""

import dataclasses
import json
import pathlib
import shutil

import jax
import numpy as np
import pytest
from absl import flags

from experiments.benchmark import __main__ as script
from experiments.benchmark import (
    accelerator,
    config,
    growth,
    interval,
    machine,
    pieces,
    problem,
    seeds,
    startup,
    tables,
)
from experiments.benchmark.row import Row
from experiments.benchmark.timing import Spread
from omgrl_jax.runtime import flags as config_flags

TINY = (
    "--world_hidden=8",
    "--world_outcome_hidden=8",
    "--behaviour_hidden=8",
    "--agent_actor_hidden=8",
    "--agent_critic_hidden=8",
    "--agent_updates=2",
    "--agent_batch_size=8",
    "--rollout_horizon=3",
    "--rollout_rollouts=4",
    "--rollout_kept_epochs=2",
    "--reward_hidden=8",
    "--reward_steps=1",
    "--reward_expert_windows=4",
    "--reward_batch=4",
)
SIZES = {
    "update": config.Update(updates=2, batch=8, hidden=8, peers=False),
    "ensemble": config.Ensemble(members=2, hidden=8, batch=16, steps=2),
    "rollouts": config.Rollouts(
        states=(10, 20), horizon=3, members=2, hidden=8, policy_hidden=8
    ),
    "schedule": config.Schedule(epochs=3, interval=2),
    "seeds": config.Seeds(seeds=4, flags=TINY),
    "guardian": config.Guardian(points=2048, queries=10, width=3),
    "iql": config.Iql(updates=2, batch=8, hidden=(8,)),
    "patients": config.Patients(patients=(3, 6), hours=4),
    "accelerator": config.Accelerator(
        seeds=(1, 2),
        precisions=("float32", "bfloat16"),
        compared_epochs=2,
        side=16,
        flags=TINY,
    ),
}
# These have tests of their own.
APART = {"startup", "tables", "growth", "planner"}


def test_every_part_of_the_settings_is_a_piece():
    assert tuple(pieces.PIECES) == config.NAMES
    assert set(SIZES) | APART == set(config.NAMES)
    for name in config.NAMES:
        assert dataclasses.is_dataclass(getattr(config.Settings(), name))


@pytest.mark.parametrize("name", SIZES)
def test_a_piece_measures(name):
    rows = pieces.PIECES[name].measure(SIZES[name], 2)
    assert {row.piece for row in rows} == {name}
    assert len({(row.what, row.at) for row in rows}) == len(rows)
    for row in rows:
        assert row.value.least <= row.value.median <= row.value.most
        assert np.isfinite(row.value.median) and row.value.most >= 0
        if row.flops is not None:
            assert 0 < row.share.least and row.ceiling.least > 0
    timed = [row for row in rows if row.unit not in ("", "MiB")]
    assert timed and all(row.value.least > 0 for row in timed)


TARGETS = {
    "update": (0.75, None),
    "ensemble": (0.70, None),
    "rollouts": (None, 4e5),
    "iql": (0.60, None),
    "patients": (None, 2e6),
    "seeds": (None, 1.9),
}


@pytest.mark.parametrize("name", TARGETS)
def test_targets_are_the_stated_ones(name):
    first = pieces.PIECES[name].measure(SIZES[name], 1)[0]
    assert (first.share_target, first.target) == TARGETS[name]
    assert first.met is not None


def test_a_part_of_the_schedule_has_no_target_and_the_whole_has(monkeypatch):
    part = pieces.PIECES["schedule"].measure(SIZES["schedule"], 1)[0]
    assert part.target is None and part.met is None
    from experiments.benchmark import schedule

    monkeypatch.setattr(schedule, "running", lambda *given: lambda: given)
    whole = schedule.measure(config.Schedule(), 1)[0]
    assert whole.target == 1.2 and whole.at_most and "500 epochs" in whole.what


def test_the_schedule_trains_to_its_end():
    from experiments.benchmark import schedule

    run = problem.recommended(TINY)
    made = problem.make(run, stays=10, hours=8)
    algorithm = problem.omg_rl(run, made)
    learn = schedule.running(algorithm, made.data, 3, 2)
    first = learn()
    # From 0 to 2, then to 3; a second call begins anew.
    assert first["critic/bellman"].shape == (1,)
    jax.tree.map(np.testing.assert_array_equal, first, learn())


def test_memory_of_more_seeds_is_counted_over_all_devices():
    run = problem.recommended(TINY)
    made = problem.make(run, stays=10, hours=8)
    algorithm = problem.omg_rl(run, made)
    many, one = (
        interval.make(algorithm, interval.members(n), made.data, 1) for n in (4, 1)
    )
    assert (many.devices, one.devices) == (min(4, jax.local_device_count()), 1)
    assert seeds.memory(many) == many.devices * many.program.peak
    assert seeds.memory(many) > seeds.memory(one)


def test_intervals_go_on_where_they_stopped():
    run = problem.recommended(TINY)
    made = problem.make(run, stays=10, hours=8)
    own = interval.make(problem.omg_rl(run, made), jax.random.key(0), made.data, 2)
    one, other = own.run(), own.run()
    assert one["critic/bellman"].shape == (2,)
    assert not np.array_equal(one["critic/bellman"], other["critic/bellman"])


def test_the_largest_difference_is_found():
    one = {"a": np.array([9.0, 1.0]), "b": np.array([0.0, -3.0])}
    other = {"a": np.array([0.0, 1.5]), "b": np.array([0.0, -4.0])}
    # Of the last epoch: .5 / 2 and 1 / 4 are level, then b moves further.
    other["b"] = np.array([0.0, -5.0])
    assert accelerator.difference(one, other) == ("b", 0.5)


def test_powers_are_slopes_of_logarithms():
    values = (1, 2, 4, 8)
    assert growth.power(values, [3.0 * v**2 for v in values]) == pytest.approx(2.0)
    assert growth.power(values, [5.0] * 4) == pytest.approx(0.0, abs=1e-9)
    assert growth.power((3,), [1.0]) is None


def test_growth_measures_along_everything_and_draws(tmp_path):
    pytest.importorskip("matplotlib")
    sizes = config.Growth(
        stays=(10, 20), seeds=(1,), members=(1,), horizon=(2,), batch=(8,), hidden=8
    )
    rows = growth.measure(sizes, 1)
    assert {row.against for row in rows} == set(growth.ALONG)
    points = [r for r in rows if r.against == "stays" and r.at is not None]
    assert [r.at for r in points if r.unit == "MiB"] == [10, 20]
    memory = {r.at: r.value.median for r in points if r.unit == "MiB"}
    assert memory[20] > memory[10]
    assert sum("power" in r.what for r in rows) == 2
    path = growth.draw(rows, tmp_path)
    text = path.read_text()
    assert path.name == "growth.svg" and "<svg" in text and len(text) > 10_000


def test_tables_are_generated_converted_and_kept(tmp_path):
    pytest.importorskip("duckdb")
    sizes = config.Tables(rows=40_000, kinds=("parquet",), folder=str(tmp_path))
    rate, whole, peak = tables.measure(sizes, 1)
    assert (tmp_path / "parquet" / "CHARTEVENTS.parquet").is_file()
    assert rate.target == 4e6 and rate.value.median > 0 and whole.value.median > 0
    assert 20 < peak.value.median < 2000 and peak.at_most and peak.met
    with pytest.raises(ValueError, match="--tables_kinds=xls"):
        tables.measure(dataclasses.replace(sizes, kinds=("xls",)), 1)


def test_a_second_start_is_timed(monkeypatch):
    made = []

    def python(cache, module, *arguments):
        made.append((str(cache), module, arguments))
        slow = len(made) == 2
        told = {"imports": 1.0, "load": 0.5, "first": 9.0 if slow else 1.4}
        return "warning\n" + json.dumps({**told, "compile": 0.2})

    monkeypatch.setattr(startup, "_python", python)
    rows = startup.measure(config.Startup(flags=("--seeds=2",)), 3)
    assert [module for _, module, _ in made] == ["data_prep.virtual"] + 4 * [
        "experiments.benchmark.first_epoch"
    ]
    # All with one cache, which is gone afterwards.
    assert len({cache for cache, *_ in made}) == 1
    assert not pathlib.Path(made[0][0]).exists()
    assert "--seeds=2" in made[-1][2]
    first = rows[0]
    assert first.value == Spread(1.4, 1.4, 1.4) and first.met
    assert first.target == 1.5 and "first start: 9.00 s" in first.note


def test_a_start_that_fails_says_why():
    cache = pathlib.Path("unused")
    with pytest.raises(RuntimeError, match="No module named"):
        startup._python(cache, "experiments.benchmark.nothing")


@pytest.mark.slow
def test_a_fresh_process_learns_and_finds_its_programs_again(monkeypatch):
    monkeypatch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
    monkeypatch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    rows = startup.measure(config.Startup(stays=20, flags=TINY), 1)
    first = rows[0]
    before = float(first.note.removeprefix("first start: ").removesuffix(" s"))
    assert 0 < first.value.median < before


def test_the_machine_and_versions_are_told(tmp_path):
    told = machine.describe()
    assert told["cores"] >= 1 and told["versions"]["jax"] == jax.__version__
    assert told["devices"] == jax.local_device_count()
    source = tmp_path / "cpuinfo"
    source.write_text("processor : 0\nmodel name\t: Fast 9000 @ 3 GHz\n")
    assert machine.cpu_model(source) == "Fast 9000 @ 3 GHz"
    assert machine.cpu_model(tmp_path / "nothing")


def test_the_script_writes_after_each_piece(monkeypatch, tmp_path, capsys):
    def broken(sizes, repeats):
        raise RuntimeError("out of luck")

    def whole(sizes, repeats):
        assert repeats == 5
        value = Spread(1.0, 2.0, 3.0)
        return [Row("iql", "updates", "updates/s", value, target=2.5)]

    drawn = []

    def draw(rows, folder):
        drawn.append((len(rows), folder))

    monkeypatch.setitem(pieces.PIECES, "iql", pieces.Piece(whole, draw))
    monkeypatch.setitem(pieces.PIECES, "update", pieces.Piece(broken))
    out = tmp_path / "bench.json"
    settings = config.Settings(repeats=5)
    with pytest.raises(RuntimeError, match="out of luck"):
        script.run(settings, ["iql", "update"], out)
    told = json.loads(out.read_text())
    assert told["rows"] == [
        {
            "piece": "iql",
            "what": "updates",
            "unit": "updates/s",
            "value": {"least": 1.0, "median": 2.0, "most": 3.0},
            "target": 2.5,
            "met": False,
        }
    ]
    assert told["machine"]["cores"] >= 1 and told["settings"]["update_batch"] == 256
    assert list(told["seconds"]) == ["iql"] and "command" in told
    assert drawn == [(1, tmp_path)]
    assert "NO" in capsys.readouterr().out
    assert shutil.os.listdir(tmp_path) == ["bench.json"]


def test_flags_choose_pieces_and_sizes():
    values = flags.FlagValues()
    script.define_flags(values)
    values(["bench", "--piece=iql", "--iql_batch=7", "--growth_seeds=1,64"])
    assert values.piece == ["iql"]
    settings = config_flags.read(config.Settings, flag_values=values)
    assert settings.iql.batch == 7 and settings.growth.seeds == (1, 64)
    assert settings.repeats >= 5
    assert script.chosen(["update", "iql"]) == ["update", "iql"]
    with pytest.raises(ValueError, match="--piece=quick: use update, ensemble"):
        script.chosen(["quick"])
    with pytest.raises(ValueError, match="--piece="):
        script.chosen([])
