"""Each case needs a JAX that has not started, hence a process of its own."""

import os
import subprocess
import sys
import textwrap
import types
from importlib import metadata

import pytest

from omgrl_jax.runtime import devices


def run(code, **environment):
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in ("XLA_FLAGS", "JAX_COMPILATION_CACHE_DIR", "OMGRL_HOST_DEVICES")
    }
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**kept, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout.strip()


COUNT = """
    import jax
    from omgrl_jax.runtime import devices
    asked = devices.configure_host_devices({})
    print(asked, jax.local_device_count())
"""


def test_count_is_an_argument_or_comes_from_the_environment(tmp_path):
    cache = {"XDG_CACHE_HOME": str(tmp_path)}
    assert run(COUNT.format(3), OMGRL_HOST_DEVICES="5", **cache) == "3 3"
    assert run(COUNT.format(""), OMGRL_HOST_DEVICES="5", **cache) == "5 5"
    flag = "--xla_force_host_platform_device_count=4"
    assert run(COUNT.format(3), XLA_FLAGS=flag, **cache) == "4 4"
    assert (tmp_path / "omgrl_jax").is_dir()


def test_default_is_one_device_for_each_core(tmp_path):
    cores = devices.available_cores()
    assert cores >= 1
    shown = run(COUNT.format(""), XDG_CACHE_HOME=str(tmp_path))
    assert shown == f"{cores} {cores}"


KERNELS = """
    import jax, jax.numpy as jnp, os
    from omgrl_jax.runtime import devices
    asked = {}
    shapes = [jax.ShapeDtypeStruct(s, jnp.float32) for s in ((64, 256), (256, 256))]
    compiled = jax.jit(jnp.matmul).lower(*shapes).compile()
    print(asked, "ynn" in compiled.as_text())
"""


@pytest.mark.skipif(
    not metadata.version("jaxlib").startswith(devices._KNOWING), reason="other kernels"
)
def test_products_are_left_to_eigen():
    chosen = KERNELS.format("devices.choose_kernels()")
    assert run(chosen) == "True False"
    # What XLA would take by itself, and what the user asks for.
    assert run(KERNELS.format(None)) == "None True"
    flag = f"{devices._KERNELS_FLAG}=LIBRARY_FUSION_TYPE_DOT"
    assert run(chosen, XLA_FLAGS=flag) == "False True"


def test_a_jaxlib_that_may_not_know_how_is_not_asked(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--other=1")
    monkeypatch.setattr(metadata, "version", lambda _: "0.11.0")
    assert not devices.choose_kernels()
    assert os.environ["XLA_FLAGS"] == "--other=1"
    monkeypatch.setattr(metadata, "version", lambda _: "0.10.7")
    assert devices.choose_kernels()
    assert os.environ["XLA_FLAGS"] == f"--other=1 {devices._KERNELS_FLAG}="
    assert not devices.choose_kernels()


def test_flags_in_a_file_and_plugins_with_an_xla_of_their_own_are_left_alone(
    monkeypatch,
):
    monkeypatch.setattr(metadata, "version", lambda _: "0.10.7")
    monkeypatch.setenv("XLA_FLAGS", "flags.txt")
    assert not devices.choose_kernels()
    monkeypatch.setenv("XLA_FLAGS", "")
    found = {"jax_plugins": ["cuda"]}
    monkeypatch.setattr(metadata, "entry_points", lambda group: found[group])
    config = types.SimpleNamespace(jax_platforms="cuda,cpu")
    monkeypatch.setattr(devices, "jax", types.SimpleNamespace(config=config))
    assert not devices.choose_kernels()
    assert os.environ["XLA_FLAGS"] == ""
    config.jax_platforms = "cpu"
    assert devices.choose_kernels()


def test_too_late_is_an_error_with_the_remedy():
    shown = run(
        """
        import jax
        from omgrl_jax.runtime import devices
        jax.numpy.zeros(2)
        try:
            devices.configure_host_devices(3)
        except devices.DevicesError as error:
            print(error)
        """,
        OMGRL_COMPILATION_CACHE="",
    )
    assert "first thing in main" in shown


def test_programs_are_kept_in_the_cache_of_the_user(tmp_path):
    code = """
        import jax
        from omgrl_jax.runtime import devices
        print(devices.enable_compilation_cache())
        jax.jit(lambda x: x * 3 + 1)(1.0)
    """
    assert run(code, XDG_CACHE_HOME=str(tmp_path)) == str(tmp_path / "omgrl_jax")
    assert list((tmp_path / "omgrl_jax").iterdir())
    other = tmp_path / "other"
    assert run(code, OMGRL_COMPILATION_CACHE=str(other)) == str(other)
    assert run(code, OMGRL_COMPILATION_CACHE="") == "None"
    assert run(code, JAX_COMPILATION_CACHE_DIR=str(other)) == str(other)


@pytest.mark.parametrize(("count", "text"), [(0, None), (-2, None), (None, "two")])
def test_invalid_counts_are_refused(monkeypatch, count, text):
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    monkeypatch.setenv(devices.CACHE_VARIABLE, "")
    if text:
        monkeypatch.setenv(devices.COUNT_VARIABLE, text)
    with pytest.raises(devices.DevicesError, match=text or str(count)):
        devices.configure_host_devices(count)
