"""Several processes that share a list and gather what they found."""

import os
import pathlib
import socket
import subprocess
import sys
import textwrap

import jax
import pytest

from omgrl_jax.runtime import hosts

ROOT = pathlib.Path(__file__).parents[1]
CHILD = """
    import sys
    from omgrl_jax.runtime import devices, hosts
    port, process = sys.argv[1:]
    devices.configure_host_devices(1)
    hosts.join(hosts.HostsConfig(
        coordinator=f"127.0.0.1:{port}", processes=2, process=int(process)))
    own = hosts.share(list(range(5)))
    print(own, hosts.is_first(), hosts.gather("ä" * (1 + 3 * int(process))))
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_two_processes_share_and_gather():
    port = str(free_port())
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMGRL_COMPILATION_CACHE": ""}
    environment.pop("XLA_FLAGS", None)
    command = [sys.executable, "-c", textwrap.dedent(CHILD), port]
    children = [
        subprocess.Popen(
            [*command, str(n)], env=environment, stdout=subprocess.PIPE, text=True
        )
        for n in range(2)
    ]
    try:
        # Whatever the collectives say of themselves comes before.
        said = [c.communicate(timeout=120)[0].splitlines()[-1] for c in children]
    finally:
        for child in children:
            child.kill()
    assert said == [
        "[0, 1] True ['ä', 'ääää']",
        "[2, 3, 4] False ['ä', 'ääää']",
    ]


def test_alone_everything_is_ones_own():
    hosts.join(hosts.HostsConfig())
    assert hosts.share("abc") == ["a", "b", "c"]
    assert hosts.is_first() and hosts.gather("x") == ["x"]


@pytest.mark.parametrize(("count", "sizes"), [(3, [2, 2, 3]), (8, [0] + [1] * 7)])
def test_parts_are_neighbours_and_even(monkeypatch, count, sizes):
    monkeypatch.setattr(jax, "process_count", lambda: count)
    parts = []
    for own in range(count):
        monkeypatch.setattr(jax, "process_index", lambda own=own: own)
        parts.append(hosts.share(range(7)))
    assert [len(part) for part in parts] == sizes
    assert [item for part in parts for item in part] == list(range(7))


@pytest.mark.parametrize(
    "told",
    [
        {"coordinator": "a:1"},
        {"processes": 2, "process": 0},
        {"coordinator": "a:1", "processes": 2, "process": 2},
    ],
)
def test_hosts_told_in_part_are_refused(told):
    with pytest.raises(ValueError, match=r"--process"):
        hosts.HostsConfig(**told)


def test_hosts_that_are_not_there_are_an_error(monkeypatch):
    def nobody(*given):
        raise ValueError("coordinator_address should be defined")

    monkeypatch.setattr(jax.distributed, "initialize", nobody)
    with pytest.raises(hosts.HostsError, match="--coordinator=HOST:PORT"):
        hosts.join(hosts.HostsConfig(distributed=True))
