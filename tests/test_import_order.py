"""Data flows one way: a module imports only its own floor and lower ones."""

import ast
import importlib
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGES = ("omgrl_jax", "experiments", "data_prep")
# From WORKSPACE.md; the longest name that fits decides.
FLOORS = {
    "experiments": 5,
    "omgrl_jax.algorithms": 4,
    "omgrl_jax.evaluation": 4,
    "data_prep": 4,
    "omgrl_jax.models": 3,
    "omgrl_jax.learners": 3,
    "omgrl_jax.data": 2,
    "omgrl_jax.envs": 2,
    "omgrl_jax.runtime": 2,
    "omgrl_jax.ops": 1,
    "omgrl_jax.actions": 1,
    "omgrl_jax.distributions": 1,
    "omgrl_jax.types": 1,
    "omgrl_jax.networks": 1,
    "omgrl_jax.optimize": 1,
    "omgrl_jax.settings": 1,
    "omgrl_jax": 0,
}


def find_modules():
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            name = ".".join(part for part in parts if part != "__init__")
            found[name] = path
    return found


MODULES = find_modules()


def floor_of(name):
    """Returns (floor, folder) of a module of the house."""
    fits = [part for part in FLOORS if f"{name}.".startswith(f"{part}.")]
    folder = max(fits, key=len)
    # A module right under omgrl_jax must have a floor of its own.
    assert folder != "omgrl_jax" or name == folder, f"{name} stands on no floor"
    return FLOORS[folder], folder


def imports_of(source, name, modules=MODULES):
    """Returns the modules of the house that a source imports, at any depth."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports relatively"
            for alias in node.names:
                longer = f"{node.module}.{alias.name}"
                found.add(longer if longer in modules else node.module)
    return {one for one in found if one.split(".")[0] in PACKAGES}


def faults(source, name, modules=MODULES):
    floor, folder = floor_of(name)
    found = []
    for imported in sorted(imports_of(source, name, modules)):
        other_floor, other_folder = floor_of(imported)
        if other_floor > floor:
            found.append(f"{name} reaches up to {imported}")
        siblings = folder == other_folder == "omgrl_jax.algorithms"
        if siblings and imported not in (name, folder):
            found.append(f"{name} imports its sibling {imported}")
    return found


def test_the_house_is_found():
    assert {"omgrl_jax.runtime.train", "experiments.config"} <= set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_imports_go_down(name):
    assert faults(MODULES[name].read_text(), name) == []


@pytest.mark.parametrize(
    ("name", "source", "fault"),
    [
        ("omgrl_jax.ops.value", "from omgrl_jax import models", "reaches up"),
        ("omgrl_jax.data.buffer", "import omgrl_jax.learners.critic", "reaches up"),
        ("omgrl_jax.models.x", "def f():\n  import experiments.config", "reaches up"),
        ("omgrl_jax.algorithms.a", "from omgrl_jax.algorithms import b", "sibling"),
        ("omgrl_jax.algorithms.a", "import omgrl_jax.algorithms.b as c", "sibling"),
        ("data_prep.virtual", "from omgrl_jax.envs import heparin", None),
        ("omgrl_jax.algorithms.a", "from omgrl_jax.algorithms import a", None),
    ],
)
def test_faults_are_seen(name, source, fault):
    modules = {"omgrl_jax.models", "omgrl_jax.envs.heparin"}
    modules |= {"omgrl_jax.algorithms.a", "omgrl_jax.algorithms.b"}
    found = faults(source, name, modules)
    assert [fault in message for message in found] == ([True] if fault else [])


def test_nothing_stands_outside_the_floors():
    with pytest.raises(AssertionError, match="stands on no floor"):
        floor_of("omgrl_jax.helpers")


def scripts():
    return [
        name
        for name, path in MODULES.items()
        if "def main(" in path.read_text() and name.split(".")[0] != "omgrl_jax"
    ]


def test_importing_the_house_has_no_effect(tmp_path):
    """No output, no file, no parsed flag, and JAX has not started."""
    code = (
        "import importlib, sys\n"
        f"for name in {[*MODULES]!r}:\n"
        "    importlib.import_module(name)\n"
        "from absl import flags\n"
        "assert not flags.FLAGS.is_parsed()\n"
        f"defined = {{*flags.FLAGS.flags_by_module_dict()}} & {{*{[*MODULES]!r}}}\n"
        "assert not defined, defined\n"
        "import jax\n"
        # Fails once a backend runs, for instance because a module makes an array.
        "jax.config.update('jax_num_cpu_devices', 3)\n"
    )
    here, home = tmp_path / "here", tmp_path / "home"
    here.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=here,
        # Other people's libraries may fill the home directory.
        env={"PYTHONPATH": str(ROOT), "HOME": str(home), "PATH": os.defpath},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("name", scripts())
def test_scripts_can_be_run_and_imported(name):
    assert callable(importlib.import_module(name).main)
    assert '__name__ == "__main__"' in MODULES[name].read_text()
