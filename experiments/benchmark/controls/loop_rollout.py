"""Rollouts as OfflineRL-Kit's published design makes them.

A Python loop over steps; in each, the policy's forward pass, then all members of the
ensemble predict mean and variance of every state and reward, both come back to numpy,
every member draws, and the draw of one elite member is picked for each state. The
networks are of the same sizes as those it is compared with, with the same activation.
"""

import importlib.util
import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.benchmark.config import Rollouts
from omgrl_jax.data.space import Space
from omgrl_jax.runtime import devices

_ELITES = 5
_HIDDEN_LAYERS, _POLICY_LAYERS = 4, 3
Layers = Sequence[tuple[Any, Any]]


class Control(NamedTuple):
    """The control.

    Attributes:
      run: rolls out, `() -> transitions by name`.
      library: what computes the networks.
    """

    run: Callable[[], dict[str, np.ndarray]]
    library: str


class Library(NamedTuple):
    """What computes networks.

    Attributes:
      name: of the library.
      forward: `(layers, numpy [..., D]) -> numpy [..., outputs]`.
      weights: what turns numpy arrays into its own.
    """

    name: str
    forward: Callable[[Layers, np.ndarray], np.ndarray]
    weights: Callable[[np.ndarray], Any]


def make(config: Rollouts, space: Space, states: int, torch: bool = True) -> Control:
    """The control with random networks.

    Args:
      config: sizes.
      space: the task.
      states: from which it starts.
      torch: whether PyTorch computes the networks where it is installed, as published;
        else numpy does.
    """
    available = torch and importlib.util.find_spec("torch") is not None
    library = _torch() if available else _numpy()
    rng = np.random.default_rng(0)
    size, actions, members = space.state_dim, space.num_actions, config.control_members
    layers = [config.policy_hidden] * _POLICY_LAYERS
    policy = _random(rng, library, size, layers, actions)
    inputs, outputs = size + actions, 2 * (size + 1)
    hidden = [config.hidden] * _HIDDEN_LAYERS
    model = _random(rng, library, inputs, hidden, outputs, members)
    starts = rng.normal(size=(states, size)).astype(np.float32)
    elites = np.arange(min(_ELITES, members))

    def run() -> dict[str, np.ndarray]:
        found: dict[str, list[np.ndarray]] = {}
        observations = starts
        for _ in range(config.horizon):
            chosen = act(rng, library.forward(policy, observations))
            told = library.forward(model, joined(observations, chosen, actions))
            following, reward = draw(rng, told, observations, elites)
            step = {"obss": observations, "actions": chosen}
            step |= {"next_obss": following, "rewards": reward}
            for name, value in step.items():
                found.setdefault(name, []).append(value)
            observations = following
        return {name: np.concatenate(parts) for name, parts in found.items()}

    return Control(run, library.name)


def act(rng: np.random.Generator, logits: np.ndarray) -> np.ndarray:
    """Actions [B] drawn from the softmax of logits [B, A]."""
    noise = rng.gumbel(size=logits.shape).astype(np.float32)
    return np.argmax(logits + noise, axis=1)


def joined(observations: np.ndarray, actions: np.ndarray, count: int) -> np.ndarray:
    """States beside one-hot actions, [B, S + A]."""
    one_hot = np.eye(count, dtype=np.float32)[actions]
    return np.concatenate([observations, one_hot], axis=1)


def draw(
    rng: np.random.Generator,
    told: np.ndarray,
    observations: np.ndarray,
    elites: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Every member's draw, of which one elite's is picked for each state.

    Args:
      rng: drawn from.
      told: [E, B, 2 (S + 1)] means, then log-variances, of changes and reward.
      observations: [B, S].
      elites: members among which is picked.

    Returns:
      Next states [B, S] and rewards [B].
    """
    mean, log_var = np.split(told, 2, axis=-1)
    deviation = np.sqrt(np.exp(np.clip(log_var, -10.0, 0.5)))
    mean = mean.copy()
    mean[..., :-1] += observations
    drawn = mean + rng.normal(size=mean.shape) * deviation
    count = observations.shape[0]
    picked = drawn.astype(np.float32)[rng.choice(elites, count), np.arange(count)]
    return picked[:, :-1], picked[:, -1]


def _random(
    rng: np.random.Generator,
    library: Library,
    inputs: int,
    hidden: Sequence[int],
    outputs: int,
    members: int | None = None,
) -> Layers:
    lead = () if members is None else (members,)
    widths = (inputs, *hidden, outputs)
    layers = []
    for one, other in itertools.pairwise(widths):
        kernel = rng.normal(size=(*lead, one, other)) / np.sqrt(one)
        bias = np.zeros((*lead, 1, other))
        layers.append((library.weights(kernel), library.weights(bias)))
    return layers


def _numpy() -> Library:
    def forward(layers: Layers, x: np.ndarray) -> np.ndarray:
        for number, (kernel, bias) in enumerate(layers):
            x = np.matmul(np.maximum(x, 0.0) if number else x, kernel) + bias
        return x

    return Library("numpy", forward, lambda x: x.astype(np.float32))


def _torch() -> Library:
    import torch

    torch.set_num_threads(devices.available_cores())

    def forward(layers: Layers, x: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            y = torch.from_numpy(x)
            for number, (kernel, bias) in enumerate(layers):
                y = torch.matmul(y.relu() if number else y, kernel) + bias
            return y.numpy()

    def weights(x: np.ndarray) -> Any:
        return torch.from_numpy(x.astype(np.float32))

    return Library("PyTorch", forward, weights)
