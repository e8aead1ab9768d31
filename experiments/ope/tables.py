"""Tabular processes: logs, behaviour and Q from counts, and the exact value.

Episodes are drawn in JAX, so that all replicates are one compiled program. The horizon
is finite: an episode that is not over after `T` steps is cut, in the truth as well.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.ope.problem import Config, GarnetConfig, Problem, Replicate, mixture
from omgrl_jax.envs import icu_sepsis, tabular
from omgrl_jax.evaluation import off_policy
from omgrl_jax.evaluation import tabular as exact
from omgrl_jax.learners.fitted_q import expected
from omgrl_jax.ops import estimators
from omgrl_jax.types import Array, Key

# Rarer actions are not evaluated: no log of a few hundred patients can judge them.
LEAST_SUPPORT = 0.02
# The weight, in steps, of the overall action frequencies in a state's own ones. With
# 500 patients of ICU-Sepsis (six steps a state) weights from 3 to 10 predict other
# patients' actions best; with 1 the ratios explode.
PRIOR_STEPS = 5.0


class Tables(NamedTuple):
    """A process and policies on the device.

    Attributes:
      start: [S] probabilities of the first state.
      moves: [S, A, S] probabilities of the next state.
      cumulative: [S, A, S] their running sums.
      rewards: [S, A, S], axes on which it does not depend of length one.
      running: [S] bool, False where an episode is over.
      behaviour: [S, A] log-probabilities of the logging policy.
      target: [S, A] those of the policy that the evaluated ones turn to.
      shifts: [K] how far they do.
    """

    start: Array
    moves: Array
    cumulative: Array
    rewards: Array
    running: Array
    behaviour: Array
    target: Array
    shifts: Array


class Played(NamedTuple):
    """Episodes [N, T]; `following` is the state entered."""

    state: Array
    action: Array
    reward: Array
    following: Array
    alive: Array


def garnet(config: GarnetConfig, seed: int) -> tuple[tabular.Process, np.ndarray]:
    """A random process and a random logging policy [S + 1, A]."""
    rng = np.random.default_rng(seed)
    states, actions = config.states, config.actions
    moves = np.zeros((states + 1, actions, states + 1))
    for s in range(states):
        for a in range(actions):
            to = rng.choice(states, min(config.branching, states), replace=False)
            moves[s, a, to] = (1 - config.ending) * rng.dirichlet(np.ones(to.size))
            moves[s, a, states] = config.ending
    rewards = rng.normal(size=(states + 1, actions, 1))
    start = np.append(np.full(states, 1 / states), 0.0)
    policy = rng.dirichlet(np.full(actions, 2.0), states + 1)
    return tabular.make(moves, rewards, start, (states,)), policy


def improved(
    process: tabular.Process, policy: np.ndarray, discount: float
) -> np.ndarray:
    """One step of policy improvement [S, A], among actions that the policy takes."""
    v = exact.state_values(process, policy, discount)
    q = _expected_rewards(process) + discount * process.transitions @ v
    best = np.where(policy >= min(LEAST_SUPPORT, policy.max()), q, -np.inf)
    return np.eye(policy.shape[1])[best.argmax(axis=1)]


def finite_value(
    tables: Tables, log_policy: Array, discount: float, horizon: int
) -> Array:
    """Expected discounted sum of the first `horizon` rewards, by backward induction."""
    policy = jnp.exp(log_policy)
    rewards = jnp.sum(policy * jnp.sum(tables.moves * tables.rewards, axis=-1), axis=1)
    moves = jnp.einsum("sa,sat->st", policy, tables.moves)

    def step(v: Array, _: None) -> tuple[Array, None]:
        return rewards + discount * moves @ v, None

    v, _ = jax.lax.scan(step, jnp.zeros_like(rewards), None, length=horizon)
    return tables.start @ v


def make(config: Config) -> Problem:
    """The problem that a configuration names.

    Args:
      config: the study's settings.

    Returns:
      The problem; its values are exact.

    Raises:
      RunError: if it is ICU-Sepsis and that package is not installed.
    """
    if config.problem == "icu_sepsis":
        process, behaviour = icu_sepsis.load()
    else:
        process, behaviour = garnet(config.garnet, config.seed)
    target = improved(process, behaviour, config.ope.discount)
    data = on_device(process, behaviour, target, config.shifts)
    return Problem(data, functools.partial(_replicate, config))


def on_device(
    process: tabular.Process,
    behaviour: np.ndarray,
    target: np.ndarray,
    shifts: Sequence[float],
) -> Tables:
    """The tables as arrays of JAX.

    Args:
      process: the process.
      behaviour: [S, A] probabilities of the logging policy.
      target: [S, A] those of the target.
      shifts: how far the evaluated policies turn to it.

    Returns:
      The tables.
    """
    sums = np.cumsum(process.transitions, axis=-1)
    # Rounding may leave the last sum below one: no state may lie behind it.
    sums /= np.maximum(sums[..., -1:], np.finfo(float).tiny)
    rewards = process.rewards
    for axis in range(3):
        first = np.take(rewards, [0], axis=axis)
        same = np.array_equal(rewards, np.broadcast_to(first, rewards.shape))
        rewards = first if same else rewards
    floats = (process.start, process.transitions, sums, rewards)
    start, moves, cumulative, rewards = (jnp.asarray(x, jnp.float32) for x in floats)
    running = jnp.asarray(process.running)
    with np.errstate(divide="ignore"):
        logs = [jnp.asarray(np.log(x), jnp.float32) for x in (behaviour, target)]
    return Tables(
        *(start, moves, cumulative, rewards, running, *logs),
        shifts=jnp.asarray(shifts, jnp.float32),
    )


def play(key: Key, tables: Tables, count: int, horizon: int) -> Played:
    """Draws `count` episodes under the logging policy; the key is consumed."""

    def draw(levels: Array, cumulative: Array) -> Array:
        find = functools.partial(jnp.searchsorted, side="right")
        return jax.vmap(find)(cumulative, levels).astype(jnp.int32)

    def step(carry: tuple[Array, Key], _: None) -> tuple[tuple[Array, Key], Played]:
        state, key = carry
        key, action_key, move_key = jax.random.split(key, 3)
        action = jax.random.categorical(action_key, tables.behaviour[state])
        levels = jax.random.uniform(move_key, (count,))
        alive = tables.running[state]
        following = jnp.where(
            alive, draw(levels, tables.cumulative[state, action]), state
        )
        index = zip(tables.rewards.shape, (state, action, following), strict=True)
        reward = tables.rewards[tuple(0 if n == 1 else i for n, i in index)]
        return (following, key), Played(state, action, reward, following, alive)

    start_key, run_key = jax.random.split(key)
    levels = jax.random.uniform(start_key, (count,))
    sums = jnp.cumsum(tables.start) / jnp.sum(tables.start)
    first = draw(levels, jnp.broadcast_to(sums, (count, sums.size)))
    _, played = jax.lax.scan(step, (first, run_key), None, length=horizon)
    return jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), played)


def fitted_behaviour(played: Played, states: int, actions: int) -> Array:
    """Frequencies of actions, drawn a little to the overall ones: log, [S, A]."""
    seen = played.alive.astype(jnp.float32).ravel()
    pair = (played.state * actions + played.action).ravel()
    count = jax.ops.segment_sum(seen, pair, states * actions).reshape(states, actions)
    overall = (1.0 + count.sum(axis=0)) / (actions + count.sum())
    by_state = count.sum(axis=1, keepdims=True)
    return jnp.log(count + PRIOR_STEPS * overall[None]) - jnp.log(
        by_state + PRIOR_STEPS
    )


def fitted_values(
    played: Played, running: Array, log_policy: Array, discount: float
) -> Array:
    """Fitted Q evaluation where values are tables: means of targets, [T, S, A].

    A pair that never occurred takes the mean of its state, a state that never occurred
    the mean of all steps.

    Args:
      played: episodes [N, T].
      running: [S] bool, False where an episode is over.
      log_policy: [S, A] the evaluated policy.
      discount: discount factor.

    Returns:
      Values with `T, T - 1, ..., 1` steps to go.
    """
    states, actions = log_policy.shape
    seen = played.alive.astype(jnp.float32).ravel()
    state, following = played.state.ravel(), played.following.ravel()
    pair = state * actions + played.action.ravel()

    def mean(values: Array, index: Array, count: int, otherwise: Array) -> Array:
        times = jax.ops.segment_sum(seen, index, count)
        total = jax.ops.segment_sum(seen * values, index, count)
        return jnp.where(times > 0, total / jnp.maximum(times, 1.0), otherwise)

    def step(v: Array, _: None) -> tuple[Array, Array]:
        target = played.reward.ravel() + discount * v[following]
        overall = jnp.sum(seen * target) / jnp.sum(seen)
        by_state = mean(target, state, states, jnp.broadcast_to(overall, (states,)))
        spread = jnp.broadcast_to(by_state[:, None], (states, actions)).ravel()
        q = mean(target, pair, states * actions, spread).reshape(states, actions)
        return jnp.where(running, expected(log_policy, q), 0.0), q

    horizon = played.alive.shape[1]
    _, q = jax.lax.scan(step, jnp.zeros(states), None, length=horizon)
    return q[::-1]


def _replicate(config: Config, number: Array, tables: Tables) -> Replicate:
    key = jax.random.fold_in(jax.random.key(config.seed), number)
    fit_key, judge_key, bootstrap_key = jax.random.split(key, 3)
    horizon, discount = config.ope.horizon, config.ope.discount
    fitting = play(fit_key, tables, config.fit_patients, horizon)
    judged = play(judge_key, tables, config.patients, horizon)
    log_mu = tables.behaviour
    if config.behaviour == "fitted":
        log_mu = fitted_behaviour(fitting, *log_mu.shape)
    at = judged.state, judged.action
    hour = jnp.broadcast_to(jnp.arange(horizon), judged.state.shape)

    def one(shift: Array) -> Replicate:
        log_pi = mixture(log_mu, tables.target, shift)
        q = fitted_values(fitting, tables.running, log_pi, discount)
        log = estimators.Log(
            rewards=judged.reward,
            log_ratios=log_pi[at] - log_mu[at],
            alive=judged.alive,
            q=q[hour, *at],
            v=expected(log_pi[None], q)[hour, judged.state],
        )
        truth = finite_value(tables, log_pi, discount, horizon)
        patients = jnp.arange(config.patients)
        found = off_policy.estimate(
            bootstrap_key, config.ope, log, patients, config.patients
        )
        return Replicate(truth, jnp.zeros_like(truth), found)

    # One key for all: policies are compared on the same resamples.
    return jax.vmap(one)(tables.shifts)


def _expected_rewards(process: tabular.Process) -> np.ndarray:
    """[S, A] mean reward of each action."""
    rewards = np.broadcast_to(process.rewards, process.transitions.shape)
    return np.einsum("sat,sat->sa", process.transitions, rewards)
