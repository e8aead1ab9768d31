"""The same update in eager PyTorch: identical mathematics, one step after another.

Twin critics with Eq. 5's conservative term, the closed-form actor, targets that follow,
Adam behind clipped gradients. Batches are drawn beforehand and the reward is given, so
that the control does less than what it is compared with.
"""

import importlib.util
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.config import RunConfig
from omgrl_jax.data.space import Space
from omgrl_jax.learners import soft_actor_critic as sac
from omgrl_jax.runtime import devices
from omgrl_jax.types import Transition

_BATCHES = 64  # drawn beforehand


class Batch(NamedTuple):
    """Transitions as tensors, recorded ones first.

    Attributes:
      state: [B, S].
      action: [B] int64.
      next_state: [B, S].
      reward: [B].
      discount: [B].
    """

    state: Any
    action: Any
    next_state: Any
    reward: Any
    discount: Any


class Agent:
    """Networks, optimisers and the step.

    Attributes:
      actor: weights and biases of each layer.
      critics: those of both critics, leaves [2, ...].
      target: likewise, slowly moving.
    """

    def __init__(self, run: RunConfig, state: Any) -> None:
        """Starts from the parameters of a JAX agent.

        Args:
          run: settings.
          state: `soft_actor_critic.AgentState`.
        """
        import torch

        self._torch, self._own = torch, run.omg_rl
        self.actor = _tensors(torch, state.actor.params)
        self.critics = _tensors(torch, state.critic.params)
        self.target = [x.detach().clone() for x in self.critics]
        self.temperature = float(np.exp(state.temperature.params))
        agent = run.omg_rl.agent
        # As optax: epsilon outside of the root, no decay.
        self._critic_adam = torch.optim.Adam(
            self.critics, lr=agent.critic_learning_rate, eps=1e-8
        )
        self._actor_adam = torch.optim.Adam(
            self.actor, lr=agent.actor_learning_rate, eps=1e-8
        )

    def step(self, batch: Batch, recorded: int) -> dict[str, float]:
        """One update of critics, actor and targets.

        Args:
          batch: transitions.
          recorded: how many of them were recorded, the first ones.

        Returns:
          The losses.
        """
        torch, agent = self._torch, self._own.agent
        told = torch.log_softmax(_apply(self.actor, batch.state), -1)
        lowered = told[recorded:].detach().exp()
        with torch.no_grad():
            following = torch.log_softmax(_apply(self.actor, batch.next_state), -1)
            q_t = _apply(self.target, batch.next_state).amin(0)
            soft = (following.exp() * (q_t - self.temperature * following)).sum(-1)
            target = batch.reward + agent.discount * batch.discount * soft
        q = _apply(self.critics, batch.state)
        index = batch.action[None, :, None].expand(2, -1, 1)
        taken = q.gather(-1, index)[..., 0]
        bellman = 0.5 * (target[None] - taken).square().mean(1)
        down = (lowered[None] * q[:, recorded:]).sum(-1).mean(1)
        gap = down - taken[:, :recorded].mean(1)
        loss = (bellman + self._own.conservatism * gap).sum()
        self._descend(self._critic_adam, self.critics, loss)
        with torch.no_grad():
            best = _apply(self.critics, batch.state).amin(0)
        policy = (told.exp() * (self.temperature * told - best)).sum(-1).mean()
        self._descend(self._actor_adam, self.actor, policy)
        with torch.no_grad():
            torch._foreach_lerp_(self.target, self.critics, agent.target_rate)
        found = {"critic/bellman": bellman.mean(), "actor/loss": policy}
        return {name: value.item() for name, value in found.items()}

    def _descend(self, optimizer: Any, params: Sequence[Any], loss: Any) -> None:
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = self._own.agent.max_gradient_norm
        if norm > 0:
            self._torch.nn.utils.clip_grad_norm_(params, norm)
        optimizer.step()


def make(
    run: RunConfig, space: Space, state: Any, updates: int
) -> Callable[[], object] | None:
    """A callable that makes so many updates, or None where PyTorch is not installed.

    Args:
      run: settings.
      space: the task.
      state: the JAX agent from which it starts.
      updates: of one call.

    Raises:
      RuntimeError: if one update of both does not come to the same.
    """
    if importlib.util.find_spec("torch") is None:
        return None
    import torch

    torch.set_num_threads(devices.available_cores())
    check(Agent(run, state), run, space, state)
    agent, size = Agent(run, state), run.omg_rl.agent.batch_size
    recorded = round(size * run.omg_rl.agent.recorded_share)
    rng = np.random.default_rng(0)
    batches = [random_batch(rng, space, size) for _ in range(_BATCHES)]

    def learn() -> float:
        for k in range(updates):
            loss = agent.step(batches[k % _BATCHES], recorded)["actor/loss"]
        return loss

    return learn


def check(rival: Agent, run: RunConfig, space: Space, state: Any) -> None:
    """Stops where one update of both does not come to the same.

    Args:
      rival: the control, before its first step.
      run: settings.
      space: the task.
      state: the JAX agent from which it starts.

    Raises:
      RuntimeError: naming what differs.
    """
    own = run.omg_rl
    agent = sac.make(own.agent, space, own.conservatism, own.push_down)
    size = own.agent.batch_size
    batch = random_batch(np.random.default_rng(1), space, size)
    recorded = round(size * own.agent.recorded_share)
    reward, whole = jnp.asarray(batch.reward.numpy()), transitions(batch)
    parts = (
        jax.tree.map(lambda x, p=p: x[p], whole)
        for p in (slice(0, recorded), slice(recorded, size))
    )
    step = jax.jit(lambda s, a, b: agent.update(s, lambda _: reward, a, b))
    state, metrics = step(state, *parts)
    told = rival.step(batch, recorded)
    pairs = [(name, value, metrics[name]) for name, value in told.items()]
    for name, theirs, ours in (
        ("actor", rival.actor, state.actor.params),
        ("critics", rival.critics, state.critic.params),
        ("target", rival.target, state.target),
    ):
        found = [x.detach().numpy() for x in theirs]
        pairs += [(name, x, y) for x, y in zip(found, layers(ours), strict=True)]
    for name, theirs, ours in pairs:
        if not np.allclose(theirs, ours, rtol=1e-3, atol=2e-5):
            raise RuntimeError(f"PyTorch's update differs from this package's: {name}")


def transitions(batch: Batch) -> Transition:
    """The same transitions for this package."""
    size = batch.action.shape[0]
    return Transition(
        state=jnp.asarray(batch.state.numpy()),
        action=jnp.asarray(batch.action.numpy(), jnp.int32),
        next_state=jnp.asarray(batch.next_state.numpy()),
        outcome=jnp.zeros((size, 1)),
        discount=jnp.asarray(batch.discount.numpy()),
        uncertainty=jnp.zeros(size),
    )


def random_batch(rng: np.random.Generator, space: Space, size: int) -> Batch:
    """Random transitions."""
    import torch

    def normal(*shape: int) -> Any:
        return torch.from_numpy(rng.normal(size=shape).astype(np.float32))

    actions = rng.integers(0, space.num_actions, size)
    return Batch(
        state=normal(size, space.state_dim),
        action=torch.from_numpy(actions),
        next_state=normal(size, space.state_dim),
        reward=normal(size),
        discount=torch.ones(size),
    )


def layers(params: Any) -> list[np.ndarray]:
    """Kernel and bias of each layer in turn; of stacked networks [K, ...]."""
    found = params["params"]
    return [
        np.array(found[f"Dense_{number}"][name])
        for number in range(len(found))
        for name in ("kernel", "bias")
    ]


def _tensors(torch: Any, params: Any) -> list[Any]:
    return [torch.from_numpy(x).requires_grad_() for x in layers(params)]


def _apply(weights: Sequence[Any], x: Any) -> Any:
    """[B, S] to [B, outputs], or [K, B, outputs] of stacked networks."""
    for number in range(0, len(weights), 2):
        kernel, bias = weights[number], weights[number + 1]
        if number:
            x = x.relu()
        x = x @ kernel + (bias[:, None] if bias.ndim == 2 else bias)
    return x
