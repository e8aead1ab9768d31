"""How to repeat a run: the command that was given, without the user's paths."""

import subprocess
import sys
import types

from experiments import repeating


def test_paths_in_the_shared_command_line_name_nobody():
    shown = repeating.shown_arguments(
        ["--dataset=/home/jane/mimic/cohort", "--out=runs/a/", "--seeds=2"]
    )
    assert shown == "--dataset=cohort --out=a/ --seeds=2"
    # A value may also stand by itself.
    shown = repeating.shown_arguments(["--dataset", "/home/jane/mimic/cohort", "--x=1"])
    assert shown == "--dataset cohort --x=1"


def test_the_command_is_that_of_the_process(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/home/jane/paper.py", "--out=/home/jane/out"])
    script = types.ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", script)
    assert repeating.command() == "python paper.py --out=out"
    for name in ("experiments.paper", "experiments.paper.__main__"):
        script.__spec__ = types.SimpleNamespace(name=name)
        assert repeating.command() == "python -m experiments.paper --out=out"


def test_a_module_that_calls_another_is_the_one_that_is_shown(tmp_path):
    (tmp_path / "study.py").write_text(
        "import helper\nhelper.show()\n", encoding="utf-8"
    )
    (tmp_path / "helper.py").write_text(
        "from experiments import repeating\n"
        "def show():\n    print(repeating.command())\n",
        encoding="utf-8",
    )
    done = subprocess.run(
        [sys.executable, "-m", "study", "--seeds=2"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "python -m study --seeds=2\n"


def test_sections_tell_versions_stages_and_command():
    clock = repeating.Clock()
    clock.lap("first")
    found = repeating.sections(clock)
    assert set(found["versions"]) == set(repeating.PACKAGES)
    assert list(found["timing"]) == ["first"] and found["timing"]["first"] >= 0.0
    assert len(found["commands"]) == 1
