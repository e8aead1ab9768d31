"""Virtual patients: logs of loggers known and unknown, truth by treating new patients.

The reward is r_p of the aPTT last REPORTED at the end of each hour: what a recorder can
compute, in logs and in truth alike. The target of the evaluated policies is a policy
cloned from clinicians, tilted to high doses: `pi(a|s) ~ mu_0(a|s) exp(tilt level(a))`
with levels from -1/2 to 1/2.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from data_prep import virtual
from experiments.ope.problem import (
    Config,
    HeparinConfig,
    Problem,
    Replicate,
    mixture,
)
from omgrl_jax import optimize
from omgrl_jax.data import scales as scales_lib
from omgrl_jax.data import space as space_lib
from omgrl_jax.data.scales import Scales
from omgrl_jax.data.space import Space
from omgrl_jax.envs import clinicians, heparin, stays
from omgrl_jax.evaluation import calibration, off_policy, simulation
from omgrl_jax.evaluation.episodes import Episodes, log_of
from omgrl_jax.learners import actor as actor_lib
from omgrl_jax.ops import clinical
from omgrl_jax.types import Array, Key, Metrics, Params, Policy

PEOPLE, PRACTICE = heparin.PatientDistribution(), clinicians.Practice()


class Data(NamedTuple):
    """What replicates share.

    Attributes:
      scales: standardisation and doses, fitted on the pilot stays.
      edges: upper edges of the dose bins.
      clone: parameters of the policy cloned from the pilot stays.
      shifts: [K] shares of decisions by the target.
    """

    scales: Scales
    edges: Array
    clone: Params
    shifts: Array


def make(config: Config) -> Problem:
    """Virtual patients, dosed and recorded as a configuration says.

    Args:
      config: the study's settings.

    Returns:
      The problem; its values have standard errors.
    """
    space, data = _pilot(config)
    return Problem(data, functools.partial(_replicate, config, space))


def cloned(config: HeparinConfig, space: Space) -> Policy:
    """A network at a fitted temperature; the parameters that `clone` returns."""
    actor = actor_lib.make(config.hidden, space.state_dim, space.num_actions)
    return calibration.tempered(actor.policy)


def mixed(config: HeparinConfig, space: Space) -> Policy:
    """The evaluated policy: the behaviour policy, and the target in a share.

    Args:
      config: network and tilt.
      space: the task; its actions are doses in rising order.

    Returns:
      A policy with the parameters (behaviour, clone, shift []).
    """
    inner = cloned(config, space)
    level = np.linspace(-0.5, 0.5, space.num_actions, dtype=np.float32)

    def log_probs(params: tuple[Params, Params, Array], states: Array) -> Array:
        behaviour, clone, shift = params
        scores = inner.log_probs(clone, states)
        tilt = jnp.broadcast_to(config.tilt * level, scores.shape)
        target = jax.nn.log_softmax(scores + tilt)
        return mixture(inner.log_probs(behaviour, states), target, shift)

    return Policy(log_probs)


def clone(
    key: Key, config: HeparinConfig, states: Array, actions: Array, num_actions: int
) -> tuple[Params, Array]:
    """Maximum likelihood with an early stop, of fixed length so that it can be mapped.

    The last fifth of the stays decides which round is kept, and the temperature.

    Args:
      key: consumed.
      config: network and steps.
      states: [N, T, S].
      actions: [N, T] int32.
      num_actions: `A`.

    Returns:
      Parameters of the policy `cloned`: those of the network, and the temperature.
    """
    actor = actor_lib.make(config.hidden, states.shape[-1], num_actions)
    optimizer = optimize.adam(config.clone_rate)
    count = max(1, states.shape[0] // 5)

    def rows(values: Array, part: slice) -> Array:
        return values[part].reshape(-1, *values.shape[2:])

    train = [rows(x, slice(count, None)) for x in (states, actions)]
    held = [rows(x, slice(None, count)) for x in (states, actions)]

    def loss(params: Params, states: Array, actions: Array) -> tuple[Array, Metrics]:
        log_probs = actor.policy.log_probs(params, states)
        return -jnp.mean(actor_lib.log_prob_of(log_probs, actions)), {}

    step = optimize.gradient_step(loss, optimizer)

    def one_step(learner: optimize.Learner, key: Key) -> optimize.Learner:
        size = (config.clone_batch,)
        index = jax.random.randint(key, size, 0, train[1].shape[0])
        return step(learner, *(x[index] for x in train))[0]

    def one_round(carry: tuple, number: Array) -> tuple[tuple, None]:
        learner, best, least = carry
        round_key = jax.random.fold_in(run_key, number)
        learner = jax.lax.fori_loop(
            0,
            config.clone_steps,
            lambda i, x: one_step(x, jax.random.fold_in(round_key, i)),
            learner,
        )
        now, _ = loss(learner.params, *held)
        best = jax.tree.map(
            lambda new, old: jnp.where(now < least, new, old), learner.params, best
        )
        return (learner, best, jnp.minimum(now, least)), None

    init_key, run_key = jax.random.split(key)
    params = actor.init(init_key)
    carry = (optimize.start(optimizer, params), params, jnp.inf)
    numbers = jnp.arange(config.clone_rounds)
    (_, best, _), _ = jax.lax.scan(one_round, carry, numbers)
    log_probs = actor.policy.log_probs(best, held[0])
    return best, calibration.fit_temperature(log_probs, held[1])


def _pilot(config: Config) -> tuple[Space, Data]:
    """Bins, scales and the cloned policy, from stays that no replicate uses."""
    hours = config.ope.horizon
    setting = virtual.Config(
        stays=config.heparin.pilot_stays,
        seed=config.seed,
        min_hours=hours,
        max_hours=hours,
    )
    seen = virtual.simulate(setting, PEOPLE, PRACTICE)
    arrays, bins, _ = virtual.to_trajectories(setting, seen)
    schema = virtual.to_schema(setting, bins, PEOPLE, PRACTICE)
    space = space_lib.make_space(schema)
    scales = scales_lib.fit_scales(schema, space, arrays)
    edges = jnp.asarray(schema.actions.edges, jnp.float32)
    see = jax.vmap(functools.partial(simulation.recorded_states, space, scales))
    doses = jnp.asarray(seen.orders.total)
    states = jax.jit(see)(jax.tree.map(jnp.asarray, seen.observations), doses)
    fit = jax.jit(clone, static_argnums=(1, 4))
    params = fit(
        jax.random.fold_in(jax.random.key(config.seed), 1),
        config.heparin,
        states[:, :-1],
        simulation.dose_bins(edges, doses),
        space.num_actions,
    )
    shifts = jnp.asarray(config.shifts, jnp.float32)
    return space, Data(scales, edges, params, shifts)


def _rewards(space: Space, seen: heparin.Observation) -> Array:
    """[N, H] r_p of the value known at the end of each hour."""
    channel, low, high = space.target or (0, *PEOPLE.aptt_range)
    return clinical.range_reward(seen.channel_value[:, 1:, channel], low, high)


def _true_value(
    config: Config, space: Space, scales: Scales, params: Any, key: Key
) -> tuple[Array, Array]:
    """Mean discounted sum over new patients, and its standard error."""
    policy = mixed(config.heparin, space)
    dosing = simulation.learned_policy(space, scales, policy.log_probs, params)
    size = config.heparin.truth_patients
    treated = stays.simulate_policy(PEOPLE, dosing, key, size, config.ope.horizon)
    powers = config.ope.discount ** jnp.arange(config.ope.horizon, dtype=jnp.float32)
    returns = _rewards(space, treated.observations) @ powers
    return jnp.mean(returns), jnp.std(returns, ddof=1) / np.float32(np.sqrt(size))


def _logger(config: Config, space: Space, data: Data) -> stays.Policy:
    if config.heparin.logger == "cloned":
        policy = cloned(config.heparin, space)
        return simulation.learned_policy(
            space, data.scales, policy.log_probs, data.clone
        )
    doctors = stays.clinician_policy(PRACTICE)
    if config.heparin.logger == "binned":
        return simulation.binned(doctors, data.edges, data.scales.amounts)
    return doctors


def _log(config: Config, space: Space, data: Data, key: Key, count: int) -> Episodes:
    treated = stays.simulate_policy(
        PEOPLE, _logger(config, space, data), key, count, config.ope.horizon
    )
    see = functools.partial(simulation.recorded_states, space, data.scales)
    amounts = treated.orders.total
    return Episodes(
        states=jax.vmap(see)(treated.observations, amounts),
        actions=simulation.dose_bins(data.edges, amounts),
        rewards=_rewards(space, treated.observations),
        alive=jnp.ones(amounts.shape, bool),
        patients=jnp.arange(count, dtype=jnp.int32),
    )


def _replicate(config: Config, space: Space, number: Array, data: Data) -> Replicate:
    root = jax.random.fold_in(jax.random.key(config.seed), 2)
    keys = jax.random.split(jax.random.fold_in(root, number), 5)
    # Drawn together, since a simulator takes long to compile.
    everyone = _log(config, space, data, keys[0], config.patients + config.fit_patients)
    judged = jax.tree.map(lambda x: x[: config.patients], everyone)
    fitting = jax.tree.map(lambda x: x[config.patients :], everyone)
    mu = data.clone
    if config.behaviour == "fitted":
        mu = clone(
            keys[1],
            config.heparin,
            fitting.states[:, :-1],
            fitting.actions,
            space.num_actions,
        )
    log_mu = cloned(config.heparin, space).log_probs(mu, judged.states[:, :-1])
    policy = mixed(config.heparin, space)

    def one(shift: Array) -> Replicate:
        params = (mu, data.clone, shift)
        truth = _true_value(config, space, data.scales, params, keys[2])
        log_pi = policy.log_probs(params, fitting.states)
        q = off_policy.fitted_values(
            keys[3], config.ope, config.fitted_q, fitting, log_pi, judged
        )
        log_pi = policy.log_probs(params, judged.states[:, :-1])
        log = log_of(judged, log_pi, log_mu, q)
        found = off_policy.estimate(
            keys[4], config.ope, log, judged.patients, config.patients
        )
        return Replicate(*truth, found)

    # The same keys for all: policies are compared on the same draws.
    return jax.vmap(one)(data.shifts)
