"""Runs that are really killed end exactly as runs that are not."""

import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

SCRIPT = pathlib.Path(__file__).with_name("runtime_toy.py")
PATIENCE = 120.0


@pytest.fixture
def start():
    processes = []

    def begin(*arguments):
        process = subprocess.Popen(
            [sys.executable, SCRIPT, *map(str, arguments)],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(SCRIPT.parents[1])},
        )
        processes.append(process)
        return process

    yield begin
    for process in processes:
        process.kill()
        process.communicate()


def finish(process):
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors


def names(directory):
    return [path.name for path in directory.iterdir()] if directory.exists() else []


def newest(directory):
    return max((int(name) for name in names(directory) if name.isdigit()), default=0)


def unfinished(directory):
    return [name for name in names(directory) if "tmp" in name]


def assert_bitwise_equal(whole, resumed):
    with np.load(whole) as expected, np.load(resumed) as found:
        assert set(expected) == set(found)
        assert expected["history.metrics.toy/loss"].shape[-1] == 45
        for name in expected:
            assert expected[name].dtype == found[name].dtype
            assert expected[name].tobytes() == found[name].tobytes(), name


@pytest.mark.slow
def test_kills_at_random_moments(tmp_path, start):
    directory, output = tmp_path / "killed", tmp_path / "killed.npz"
    reference = start(tmp_path / "whole", tmp_path / "whole.npz", 0)
    rng = random.Random(0)
    progress = [0]
    for _ in range(3):
        process = start(directory, output, 0)
        deadline = time.monotonic() + PATIENCE
        while newest(directory) == progress[-1]:
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.1))
        process.kill()
        process.communicate(timeout=PATIENCE)
        assert process.returncode == -signal.SIGKILL
        progress.append(newest(directory))
    assert not output.exists()
    # Each life went further than the one before: nothing started over.
    assert progress == sorted(set(progress))
    finish(start(directory, output, 0))
    finish(reference)
    assert_bitwise_equal(tmp_path / "whole.npz", output)


@pytest.mark.slow
def test_kills_while_checkpoints_are_written_and_removed(tmp_path, start):
    directory, output = tmp_path / "killed", tmp_path / "killed.npz"
    reference = start(tmp_path / "whole", tmp_path / "whole.npz", 2)
    progress, left_over = [0], 0
    # Within the first write, within later ones, and while an old one is removed.
    for event in (3, 21, 36, 47, 58):
        process = start(directory, output, 2, event)
        process.communicate(timeout=PATIENCE)
        assert process.returncode == -signal.SIGKILL
        progress.append(newest(directory))
        left_over += bool(unfinished(directory))
    assert progress == sorted(progress)
    assert left_over >= 2, "the kills came between the writes"
    finish(start(directory, output, 2))
    finish(reference)
    assert not unfinished(directory)
    assert_bitwise_equal(tmp_path / "whole.npz", output)
