"""Every piece at a tiny size, the script around them, and what it writes."""

import dataclasses
import functools
import json
import pathlib

import jax
import jax.numpy as jnp
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
    program,
    schedule,
    seeds,
    startup,
    tables,
    timing,
)
from experiments.benchmark.row import Row
from experiments.benchmark.timing import Spread
from omgrl_jax.runtime import flags as config_flags

KEY = jax.random.key(0)
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
    "schedule": config.Schedule(2, 2, whole_batches=False, flags=TINY),
    "guardian": config.Guardian(points=2048, queries=10, width=3),
    "iql": config.Iql(updates=2, batch=8, hidden=(8,)),
    "patients": config.Patients(patients=(3, 6), hours=4, calls=2),
}
# These have tests of their own.
APART = {"startup", "tables", "growth", "planner", "accelerator", "seeds"}


def test_every_part_of_the_settings_is_a_piece():
    assert tuple(pieces.PIECES) == config.NAMES
    assert set(SIZES) | APART == set(config.NAMES)
    for name in config.NAMES:
        assert dataclasses.is_dataclass(getattr(config.Settings(), name))


@functools.cache
def measured(name):
    return pieces.PIECES[name].measure(SIZES[name], 2)


@pytest.mark.parametrize("name", SIZES)
def test_a_piece_measures(name):
    rows = measured(name)
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
}


@pytest.mark.parametrize("name", TARGETS)
def test_targets_are_the_stated_ones(name):
    first = measured(name)[0]
    assert (first.share_target, first.target) == TARGETS[name]
    assert first.met is not None


def test_a_part_of_the_schedule_has_no_target_and_the_whole_has(monkeypatch):
    part = measured("schedule")[0]
    assert part.target is None and part.met is None
    monkeypatch.setattr(schedule, "running", lambda *given: lambda: given)
    whole, larger = schedule.measure(config.Schedule(), 1)
    assert whole.target == 1.2 and whole.at_most
    assert "500 epochs" in whole.what and "200 transitions" in whole.what
    assert larger.target is None and "4,000 transitions" in larger.what
    # About .4 GFLOP an epoch.
    assert 1.5e11 < whole.flops < 2.5e11 and larger.flops > 1e12


def test_the_schedule_trains_to_its_end_from_its_start(monkeypatch):
    calls = []

    def run_interval(algorithm, state, run_key, step, data, length):
        calls.append((float(state), int(step), length))
        return state + length, {"epochs": state + length}

    def prepare(*given):
        return 0, jnp.float32(0.0), "key", "data", None, None

    monkeypatch.setattr(schedule.train, "run_interval", run_interval)
    monkeypatch.setattr(schedule.train, "_prepare", prepare)
    learn = schedule.running(None, "data", 5, 2)
    assert learn()["epochs"] == 5.0
    assert calls == [(0.0, 0, 2), (2.0, 2, 2), (4.0, 4, 1)]
    # Each call is a run of its own.
    assert learn()["epochs"] == 5.0


@functools.cache
def tiny():
    run = problem.recommended(TINY)
    made = problem.make(run, stays=10, hours=8)
    return problem.omg_rl(run, made), made.data


def test_intervals_go_on_where_they_stopped_and_their_memory_is_counted():
    algorithm, data = tiny()
    many = interval.make(algorithm, interval.members(2), data, 2)
    one, other = many.run(), many.run()
    assert one["critic/bellman"].shape == (2, 2)
    assert not np.array_equal(one["critic/bellman"], other["critic/bellman"])
    assert many.devices == min(2, jax.local_device_count())
    assert seeds.memory(many) == many.devices * many.program.peak
    first = jax.tree.leaves(jax.eval_shape(algorithm.init, KEY, data))
    state = sum(x.size * x.dtype.itemsize for x in first)
    assert many.program.peak > state


def test_seeds_are_compared_and_each_more_costs_memory(monkeypatch):
    size = {1: 100, 2: 140, 4: 220}

    def make(algorithm, keys, data, epochs):
        count = keys.shape[0]
        # Half of that on each of two devices.
        own = program.Program(1, 1, size[count] * 2**20 // 2, 0, 0)
        return interval.Interval(lambda: None, own, 2)

    def times(callables, repeats):
        return {n: timing.Times((2.0 if n == "4" else 1.0,)) for n in callables}

    monkeypatch.setattr(seeds.interval, "make", make)
    monkeypatch.setattr(seeds.timing, "interleaved", times)
    rows = seeds.measure(config.Seeds(seeds=4, flags=TINY), 1)
    # Four seeds in twice the time of one.
    assert rows[0].value.median == 2.0 and rows[0].met and rows[0].target == 1.9
    assert [r.value.median for r in rows if r.unit == "epochs/s"] == [1.0, 2.0, 2.0]
    assert [r.value.median for r in rows if r.unit == "MiB"] == [40.0, 40.0]


def test_precisions_are_asked_for_and_compared(monkeypatch):
    asked = []

    def make(algorithm, keys, data, epochs):
        precision = jax.config.jax_default_matmul_precision
        asked.append((precision, keys.shape[0]))
        off = 0.5 if precision == "bfloat16" else 0.0

        def run():
            return {"a": np.full((2, 1), 1.0), "b": np.array([[3.0], [1.0 + off]])}

        own = program.Program(1, 1, 2**20, 0, 0)
        return interval.Interval(run, own, 1)

    monkeypatch.setattr(accelerator.interval, "make", make)
    sizes = config.Accelerator(
        seeds=(2, 4), precisions=("float32", "bfloat16"), side=16, flags=TINY
    )
    rows = accelerator.measure(sizes, 2)
    assert asked == [(p, n) for p in ("float32", "bfloat16") for n in (2, 4)]
    assert [row.at for row in rows] == [2, 4, 2, 4, None]
    # .5 over 1 + 1.
    assert rows[-1].value.median == 0.25 and "b, after 3 epochs" in rows[-1].note
    assert all(row.share.least > 0 for row in rows[:-1])


@pytest.mark.slow
def test_a_sweep_runs_at_a_lower_precision():
    sizes = config.Accelerator((1,), ("float32", "bfloat16"), side=16, flags=TINY)
    rows = accelerator.measure(sizes, 1)
    assert len(rows) == 3 and rows[0].value.least > 0


def test_the_largest_difference_is_of_the_last_epoch():
    one = {"a": np.array([[9.0, 1.0]]), "b": np.array([[0.0, -3.0]])}
    other = {"a": np.array([[0.0, 1.4]]), "b": np.array([[0.0, -5.0]])}
    # .4 / 2 and 2 / 4.
    assert accelerator.difference(one, other) == ("b", 0.5)


def test_powers_are_slopes_of_logarithms():
    values = (1, 2, 4, 8)
    assert growth.power(values, [3.0 * v**2 for v in values]) == pytest.approx(2.0)
    assert growth.power(values, [5.0] * 4) == pytest.approx(0.0, abs=1e-9)
    assert growth.power((3,), [1.0]) is None


LIMITS = config.Growth(
    stays=(10, 20), seeds=(3,), members=(2,), horizon=(4,), batch=(9,), hidden=8
)


def test_growth_changes_one_thing_at_a_time(monkeypatch):
    built = {}

    def remember(kind):
        def build(run, count):
            return kind, run, count

        return build

    monkeypatch.setattr(growth, "_epoch", remember("epoch"))
    monkeypatch.setattr(growth, "_fit", remember("fit"))
    for name, build in growth.ALONG.items():
        built[name] = build(LIMITS, getattr(LIMITS, name)[0])
    kinds = {name: kind for name, (kind, *_) in built.items()}
    assert [n for n, kind in kinds.items() if kind == "fit"] == ["stays", "members"]
    assert built["stays"][2] == 10 and built["seeds"][2] == 3
    assert built["members"][1].fit.members == 2
    assert built["horizon"][1].rollout.horizon == 4
    assert built["batch"][1].agent.batch_size == 9
    assert all(run.agent.actor_hidden == (8, 8) for _, run, _ in built.values())


def test_growth_measures_and_draws(monkeypatch, tmp_path):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(growth, "ALONG", {"stays": growth.ALONG["stays"]})
    rows = growth.measure(LIMITS, 1)
    points = [r for r in rows if r.against == "stays" and r.at is not None]
    memory = {r.at: r.value.median for r in points if r.unit == "MiB"}
    assert set(memory) == {10, 20} and memory[20] > memory[10]
    assert sum("power" in r.what for r in rows) == 2
    path = growth.draw(rows, tmp_path)
    text = path.read_text()
    assert path.name == "growth.svg" and "<svg" in text and len(text) > 10_000


@pytest.mark.slow
def test_epochs_of_more_seeds_take_more_memory():
    one, other = (growth.along_seeds(LIMITS, n) for n in (1, 2))
    assert other.memory > one.memory
    assert np.isfinite(one.run()["critic/bellman"]).all()


def test_tables_are_generated_converted_and_kept(tmp_path):
    pytest.importorskip("duckdb")
    sizes = config.Tables(400_000, ("parquet",), 2, str(tmp_path))
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


def test_peak_memory_is_that_of_the_program(tmp_path):
    source = tmp_path / "status"
    source.write_text("Name:\tpython\nVmHWM:\t    1024 kB\nVmRSS:\t 512 kB\n")
    assert machine.peak_memory(source) == 2**20
    assert machine.peak_memory() > 2**26
    assert machine.peak_memory(tmp_path / "nothing") > 2**26


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
    assert [path.name for path in tmp_path.iterdir()] == ["bench.json"]


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
