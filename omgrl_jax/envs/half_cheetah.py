"""HalfCheetah-v5 with agents of differing mass and damping, simulated by MuJoCo.

Needs the extra `mujoco`. Each step goes to the host (`jax.pure_callback`), where all
agents of a batch advance in one call, split over the cores; a core takes about 70
microseconds for a step. (MuJoCo's own step is used, not MJX, which is made for
thousands of copies on an accelerator.)

The state is Gymnasium's observation, which leaves out where the animal is: nothing
depends on it. Since a planner must know rewards from states, the reward takes the speed
at the end of the step; Gymnasium's takes the way over the step's time. What they differ
by nearly cancels from step to step: sums over 200 random steps differ by up to 2.
"""

import copy
import functools
import importlib
import importlib.resources
import threading
from concurrent import futures
from typing import Any, NamedTuple
from xml.etree import ElementTree

import jax
import jax.numpy as jnp
import numpy as np

from omgrl_jax import actions
from omgrl_jax.envs.control import Control
from omgrl_jax.runtime import devices
from omgrl_jax.runtime.errors import RunError
from omgrl_jax.types import Array, Key

NAME = "HalfCheetah-v5"
_JOINTS = ("back_thigh", "back_shin", "back_foot", "front_thigh", "front_shin",
           "front_foot")  # fmt: skip
_POSITIONS = (("height", "m"), ("pitch", "rad"), *((name, "rad") for name in _JOINTS))
_SPEEDS = (
    ("speed", "m/s"),
    ("climb", "m/s"),
    ("pitch_speed", "rad/s"),
    *((f"{name}_speed", "rad/s") for name in _JOINTS),
)
_FORWARD = len(_POSITIONS)  # the column of the speed forward
# Where states of moving animals lie for the most part.
_HIGH = (0.4, 1.5, *(1.0,) * 6, 5.0, 3.0, 8.0, *(15.0,) * 6)
_SUBSTEPS = 5  # of 0.01 s
_EFFORT = 0.1  # cost of actions
_SHARE = 50  # agents of a batch for whom a thread of their own is worth it
# Larger arguments reach the host by a copy that waits for a thread of the callbacks.
_LARGEST = 90_000  # bytes
_HOST = threading.local()


class HalfCheetah(NamedTuple):
    """Physics of HalfCheetah.

    Attributes:
      mass: scale of the masses and inertias of all bodies.
      damping: scale of the damping of all joints.
    """

    mass: Array | float = 1.0
    damping: Array | float = 1.0


def half_cheetah() -> Control:
    """A planar animal of two legs that earns its speed forward less its effort.

    Raises:
      RunError: if the extra `mujoco` is not installed.
    """
    for package in ("mujoco", "gymnasium"):
        _imported(package)

    def reset(key: Key) -> Array:
        position_key, speed_key = jax.random.split(key)
        positions = jax.random.uniform(
            position_key, (len(_POSITIONS),), minval=-0.1, maxval=0.1
        )
        speeds = 0.1 * jax.random.normal(speed_key, (len(_SPEEDS),))
        return jnp.concatenate([positions, speeds])

    def step(physics: HalfCheetah, state: Array, action: Array) -> Array:
        following = jax.ShapeDtypeStruct(state.shape, jnp.float32)
        scales = jnp.stack([jnp.asarray(x, jnp.float32) for x in physics])
        return jax.pure_callback(
            _advance, following, scales, state, action, vmap_method="broadcast_all"
        )

    def reward(state: Array, action: Array, following: Array) -> Array:
        del state
        return following[_FORWARD] - _EFFORT * jnp.sum(jnp.square(action))

    return Control(
        name=NAME,
        features=(*_POSITIONS, *_SPEEDS),
        low=tuple(-x for x in _HIGH),
        high=_HIGH,
        actions=actions.box((-1.0,) * 6, (1.0,) * 6),
        limit=1000,
        reset=reset,
        step=step,
        reward=reward,
        done=lambda state: jnp.zeros((), bool),
    )


def _imported(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise RunError(
            f"HalfCheetah needs an optional package ({error}); install it with "
            "pip install 'omgrl_jax[mujoco]'"
        ) from error


def _advance(scales: Any, states: Any, forces: Any) -> np.ndarray:
    """States [..., S] one step later, of agents of scales [..., 2]."""
    shape = states.shape
    if states.nbytes > _LARGEST and jax.local_device_count() > 1:
        raise RunError(
            f"HalfCheetah: {states.nbytes // (4 * shape[-1])} agents in one step; with "
            f"several host devices at most {_LARGEST // (4 * shape[-1])}, or JAX would "
            "wait for itself for ever: lower the number of candidates or predictions"
        )
    rows = [np.asarray(x).reshape(-1, x.shape[-1]) for x in (scales, states, forces)]
    shares = min(devices.available_cores(), -(-rows[0].shape[0] // _SHARE))
    parts = (np.array_split(x, shares) for x in rows)
    return np.concatenate([*_workers().map(_simulate, *parts)]).reshape(shape)


def _simulate(scales: np.ndarray, states: np.ndarray, forces: np.ndarray) -> np.ndarray:
    """States [M, S] one step later, of agents of scales [M, 2]."""
    models = [_model(*pair) for pair in scales.tolist()]
    # Time, the place along the way, and what is observed.
    first = np.concatenate([np.zeros((len(states), 2)), states], axis=1)
    held = np.repeat(forces[:, None].astype(np.float64), _SUBSTEPS, axis=1)
    rollout = _imported("mujoco.rollout").rollout
    path, _ = rollout(models, _scratch(), first, held)
    return path[:, -1, 2:].astype(np.float32)


@functools.cache
def _workers() -> futures.ThreadPoolExecutor:
    """Threads that simulate: called from those of XLA, MuJoCo's binding crashes."""
    return futures.ThreadPoolExecutor(devices.available_cores(), "mujoco")


def _scratch() -> Any:
    """Room for simulating, one for each thread."""
    if not hasattr(_HOST, "data"):
        _HOST.data = _imported("mujoco").MjData(_usual())
    return _HOST.data


@functools.cache
def _usual() -> Any:
    """MuJoCo's model of the animal as it is in Gymnasium."""
    mujoco = _imported("mujoco")
    assets = importlib.resources.files("gymnasium") / "envs" / "mujoco" / "assets"
    root = ElementTree.fromstring((assets / "half_cheetah.xml").read_text())
    # Each agent has a copy, of which pictures would be nearly all.
    root.remove(root.findall("asset")[0])
    for geometry in root.iter("geom"):
        geometry.attrib.pop("material", None)
    # MuJoCo warns of the attribute, and tells to set the mass afterwards.
    total = root.findall("compiler")[0].attrib.pop("settotalmass", None)
    model = mujoco.MjModel.from_xml_string(ElementTree.tostring(root, "unicode"))
    if total is not None:
        mujoco.mj_setTotalmass(model, float(total))
    return model


@functools.cache
def _model(mass: float, damping: float) -> Any:
    """The model of one agent."""
    mujoco = _imported("mujoco")
    model = copy.copy(_usual())
    model.body_mass[:] *= mass
    model.body_inertia[:] *= mass
    model.dof_damping[:] *= damping
    # What MuJoCo derives from masses when it compiles a model.
    mujoco.mj_setConst(model, mujoco.MjData(model))
    return model
