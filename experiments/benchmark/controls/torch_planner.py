"""The planner's sums in PyTorch, without gradients."""

import importlib.util
from collections.abc import Callable

import numpy as np

from omgrl_jax.models.personal import Simulator
from omgrl_jax.runtime import devices


def make(own: Simulator) -> Callable[[np.ndarray], np.ndarray] | None:
    """The score of plans [K, H] of MountainCar, or None where there is no PyTorch.

    Args:
      own: the simulator whose folded networks are taken over.
    """
    if importlib.util.find_spec("torch") is None:
        return None
    import torch

    torch.set_num_threads(devices.available_cores())
    layer = own.members.body["params"]["Dense_0"]
    kernel, bias, head, shift, mean, deviation = (
        torch.from_numpy(np.array(x))
        for x in (
            layer["kernel"],
            layer["bias"],
            own.members.head,
            own.members.bias,
            *own.changes,
        )
    )
    members, count = head.shape[:2]
    wide = head.permute(0, 2, 1, 3).reshape(members, head.shape[2], -1)

    def run(plans: np.ndarray) -> np.ndarray:
        actions = torch.from_numpy(plans).long()
        rows = torch.arange(len(plans))
        state = torch.tensor([-0.5, 0.0]).expand(len(plans), 2)
        alive = torch.ones(len(plans), dtype=torch.bool)
        total = torch.zeros(len(plans))
        with torch.inference_mode():
            for t in range(plans.shape[1]):
                hidden = torch.relu(state @ kernel + bias[:, None])
                every = (hidden @ wide).reshape(members, len(plans), count, 2)
                every = every + shift[:, None]
                change = every[:, rows, actions[:, t]].mean(0)
                state = state + mean + deviation * change
                done = (state[:, 0] >= 0.5) & (state[:, 1] >= 0.0)
                total += torch.where(alive, state[:, 0], 0.0)
                alive &= ~done
        return total.numpy()

    return run
