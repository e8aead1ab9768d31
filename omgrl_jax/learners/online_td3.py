"""Twin delayed deep deterministic policy gradients in a simulator (arXiv 1802.09477).

For behaviour policies of continuous actions. Actions of the policy and its noise are
shares of half the actions' range. Copies of the environment start where its episodes
do. Instead of an actor's step after every second step of the critics, each round takes
some steps of the critics and then one of the actor.

The default, 10,000 rounds of four copies, is 40,000 steps of the environment. For
HalfCheetah's five settings of `data_prep.control` that takes 160 s of a core in all;
returns of one seed were -480, 2384, 2046, 342 and 1626, beside -407 to -43 of random
actions.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from omgrl_jax import networks, optimize
from omgrl_jax.data import buffer as buffer_lib
from omgrl_jax.data.buffer import Buffer
from omgrl_jax.envs.control import Control, Physics
from omgrl_jax.learners import online
from omgrl_jax.types import Array, Key, Metrics, Params, Transition


@dataclasses.dataclass(frozen=True)
class Config:
    """How a policy is learned.

    Attributes:
      hidden: widths of the layers.
      copies: environments that run side by side.
      steps: rounds of a step of every copy and an update.
      critic_steps: steps of the critics in an update, before one of the actor.
      batch_size: transitions of a step.
      capacity: transitions kept.
      warmup: rounds of random actions at the start.
      learning_rate: Adam's step size.
      discount: discount factor.
      target_rate: share by which targets follow in each round.
      noise: standard deviation of exploration.
      smoothing: standard deviation of the noise on the target's actions.
      largest_smoothing: that noise is clipped to plus and minus this.
      restart: probability of a copy to start anew after a step.
    """

    hidden: tuple[int, ...] = (64, 64)
    copies: int = dataclasses.field(default=4, metadata={"min": 1})
    steps: int = dataclasses.field(default=10_000, metadata={"min": 1})
    critic_steps: int = dataclasses.field(default=2, metadata={"min": 1})
    batch_size: int = dataclasses.field(default=128, metadata={"min": 1})
    capacity: int = dataclasses.field(default=40_000, metadata={"min": 1})
    warmup: int = dataclasses.field(default=500, metadata={"min": 0})
    learning_rate: float = dataclasses.field(default=1e-3, metadata={"above": 0})
    discount: float = dataclasses.field(default=0.99, metadata={"min": 0, "below": 1})
    target_rate: float = dataclasses.field(default=0.01, metadata={"above": 0})
    noise: float = dataclasses.field(default=0.1, metadata={"min": 0})
    smoothing: float = dataclasses.field(default=0.2, metadata={"min": 0})
    largest_smoothing: float = dataclasses.field(default=0.5, metadata={"min": 0})
    restart: float = dataclasses.field(default=0.002, metadata={"min": 0, "max": 1})


class _Networks(NamedTuple):
    actor: Params
    critics: Params  # leaves [2, ...]


class _State(NamedTuple):
    actor: optimize.Learner
    critics: optimize.Learner
    target: _Networks
    rounds: Array


def behaviour(task: Control, config: Config) -> online.Behaviour:
    """Behaviour policies of continuous actions."""
    policy = _Policy(task, config.hidden)
    loop = online.Loop(config.copies, config.steps, config.capacity, config.restart)

    def train(key: Key, physics: Physics) -> Params:
        learner = _learner(task, config)
        return online.run(key, task, physics, learner, loop).actor.params

    def act(params: Params, state: Array) -> Array:
        return policy.raw(policy.share(params, online.scaled(task, state)))

    return online.Behaviour(train, act)


class _Policy(NamedTuple):
    """The actor of one task: shares in -1..1, and actions between the bounds."""

    task: Control
    hidden: tuple[int, ...]

    @property
    def network(self) -> networks.MLP:
        return networks.MLP(self.hidden, len(self.task.actions.low))

    def share(self, params: Params, states: Array) -> Array:
        return jnp.tanh(networks.apply(self.network, params, states))

    def raw(self, share: Array) -> Array:
        space = self.task.actions
        shape = (1,) * (share.ndim - 1) + (-1,)
        low, high = (jnp.array(x).reshape(shape) for x in (space.low, space.high))
        return 0.5 * (low * (1.0 - share) + high * (1.0 + share))


def _learner(task: Control, config: Config) -> online.Learner:
    policy, critic = _Policy(task, config.hidden), networks.MLP(config.hidden, 1)
    actor_optimizer, critic_optimizer = (
        optimize.adam(config.learning_rate, 10.0) for _ in range(2)
    )

    def values(params: Params, states: Array, shares: Array) -> Array:
        """Both critics' values [2, B]."""
        inputs = jnp.concatenate([states, shares], axis=-1)
        return networks.stacked_apply(critic, params, inputs)[..., 0]

    def init(key: Key) -> _State:
        actor_key, critic_key = jax.random.split(key)
        state = jnp.zeros(len(task.low))
        share = jnp.zeros(task.actions.shape)
        actor = policy.network.init(actor_key, state)
        critics = networks.stacked_init(
            critic, critic_key, 2, jnp.concatenate([state, share])
        )
        return _State(
            optimize.start(actor_optimizer, actor),
            optimize.start(critic_optimizer, critics),
            _Networks(actor, critics),
            jnp.int32(0),
        )

    def explore(state: _State, key: Key, states: Array) -> Array:
        noise_key, random_key = jax.random.split(key)
        share = policy.share(state.actor.params, online.scaled(task, states))
        noisy = share + config.noise * jax.random.normal(noise_key, share.shape)
        tried = policy.raw(jnp.clip(noisy, -1.0, 1.0))
        random = task.actions.draw(random_key, states.shape[:1])
        return jnp.where(state.rounds < config.warmup, random, tried)

    def critic_loss(
        params: Params, target: _Networks, noise: Array, batch: Transition
    ) -> tuple[Array, Metrics]:
        share = policy.share(target.actor, batch.next_state) + noise
        following = values(target.critics, batch.next_state, jnp.clip(share, -1.0, 1.0))
        rewards = (1.0 - config.discount) * batch.outcome[:, 0]  # values of order one
        bound = jnp.min(following, axis=0)
        goal = rewards + config.discount * batch.discount * bound
        found = values(params, batch.state, task.actions.encode(batch.action))
        return jnp.mean(jnp.square(found - goal[None])), {}

    def actor_loss(
        params: Params, critics: Params, states: Array
    ) -> tuple[Array, Metrics]:
        return -jnp.mean(values(critics, states, policy.share(params, states))[0]), {}

    actor_step = optimize.gradient_step(actor_loss, actor_optimizer)
    critic_step = optimize.gradient_step(critic_loss, critic_optimizer)

    def learn(state: _State, key: Key, buffer: Buffer) -> _State:
        def improve(
            carry: tuple[optimize.Learner, Key], _: None
        ) -> tuple[tuple[optimize.Learner, Key], Array]:
            critics, key = carry
            key, batch_key, noise_key = jax.random.split(key, 3)
            batch = buffer_lib.sample(buffer, batch_key, config.batch_size)
            noise = config.smoothing * jax.random.normal(noise_key, batch.action.shape)
            cut = config.largest_smoothing
            noise = jnp.clip(noise, -cut, cut)
            critics = critic_step(critics, state.target, noise, batch)[0]
            return (critics, key), batch.state

        (critics, _), seen = jax.lax.scan(
            improve, (state.critics, key), None, length=config.critic_steps
        )
        actor, _ = actor_step(state.actor, critics.params, seen[-1])
        target = [
            optax.incremental_update(new.params, old, config.target_rate)
            for new, old in zip((actor, critics), state.target, strict=True)
        ]
        return _State(actor, critics, _Networks(*target), state.rounds + 1)

    def start(key: Key) -> Array:
        return jax.vmap(task.reset)(jax.random.split(key, config.copies))

    return online.Learner(init, explore, learn, start)
