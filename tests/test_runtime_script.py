import logging
import subprocess
import sys

import pytest

from omgrl_jax.runtime import script

# A script with one flag whose main does what the test says.
CODE = """
import logging
from absl import flags
from omgrl_jax.runtime import script, storage
def define_flags():
    flags.DEFINE_integer("count", 1, "How many.")
def main():
    import jax
    jax.numpy.zeros(1)
    {body}
script.run(main, define_flags)
"""


def run(body, *arguments):
    return subprocess.run(
        [sys.executable, "-c", CODE.format(body=body), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    "fault",
    ["ValueError", "OSError", "FloatingPointError", "storage.WorktreeError"],
)
def test_faults_of_users_are_one_line(fault):
    done = run(f"raise {fault}('--count: too many')")
    assert done.returncode == 1
    assert (done.stdout, done.stderr) == ("", "error: --count: too many\n")


def test_our_own_faults_keep_their_traceback():
    done = run("{}['x']")
    assert done.returncode == 1 and "Traceback" in done.stderr


def test_the_traceback_is_shown_on_request():
    done = run("raise ValueError('no')", "--verbosity=1")
    assert "Traceback" in done.stderr and done.stderr.endswith("error: no\n")


def test_flags_are_parsed_and_left_over_words_are_faults():
    done = run("print(flags.FLAGS.count)", "--count=3")
    assert (done.returncode, done.stdout, done.stderr) == (0, "3\n", "")
    done = run("print(flags.FLAGS.count)", "three")
    assert done.returncode == 1
    assert done.stderr == "error: unknown argument 'three'; see --help\n"


def test_absent_accelerators_are_no_news():
    logger = logging.getLogger("jax._src.xla_bridge")
    before = logger.level
    try:
        script.quiet()
        assert not logger.isEnabledFor(logging.INFO)
        assert logger.isEnabledFor(logging.WARNING)
    finally:
        logger.setLevel(before)
