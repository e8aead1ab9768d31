"""Compiled programs are forgotten where they take too many mappings."""

import jax
import jax.numpy as jnp
import pytest

from omgrl_jax.runtime import mappings


@pytest.fixture
def counted(monkeypatch, tmp_path):
    """Files that say what the system would."""

    def say(used, allowed):
        maps, limit = tmp_path / "maps", tmp_path / "limit"
        maps.write_text("one line\n" * used)
        limit.write_text(f"{allowed}\n")
        monkeypatch.setattr(mappings, "_MAPS", maps)
        monkeypatch.setattr(mappings, "_LIMIT", limit)

    return say


def compiled():
    """A program of its own, and how often it was traced."""
    traces = []

    @jax.jit
    def run(x):
        traces.append(1)
        return x + 1.0

    return run, traces


def test_programs_stay_while_there_is_room(counted):
    run, traces = compiled()
    run(jnp.zeros(2))
    counted(50, 100)
    assert not mappings.forget_programs()
    run(jnp.zeros(2))
    assert len(traces) == 1


def test_programs_go_where_room_is_short_and_come_back_when_needed(counted):
    run, traces = compiled()
    run(jnp.zeros(2))
    counted(51, 100)
    assert mappings.forget_programs()
    assert float(run(jnp.zeros(2))[0]) == 1.0
    assert len(traces) == 2


def test_nothing_is_forgotten_where_nobody_counts(monkeypatch, tmp_path):
    monkeypatch.setattr(mappings, "_MAPS", tmp_path / "none")
    assert not mappings.forget_programs(share=0.0)
