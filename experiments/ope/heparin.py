"""Virtual patients: logs of loggers known and unknown, truth by treating new patients.

The reward is r_p of the aPTT last REPORTED at the end of each hour: what a recorder can
compute, in logs and in truth alike. The evaluated policies tilt a policy cloned from
clinicians towards higher doses, `pi(a|s) ~ mu_0(a|s) exp(shift x level(a))` with levels
from -1/2 to 1/2: the ratios to the cloned policy stay within `exp(|shift|)` an hour.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from data_prep import virtual
from experiments.ope.problem import Config, HeparinConfig, Problem
from omgrl_jax import optimize
from omgrl_jax.data import records as records_lib
from omgrl_jax.data.records import Scales, Space
from omgrl_jax.envs import clinicians, heparin, stays
from omgrl_jax.evaluation import off_policy, simulation
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
      shifts: [K] tilts of the evaluated policies.
    """

    scales: Scales
    edges: Array
    clone: Params
    shifts: Array


def make(config: Config) -> Problem:
    """Virtual patients and the true values of the tilted policies.

    Args:
      config: the study's settings.

    Returns:
      The problem; its values have standard errors.
    """
    space, data = _pilot(config)
    run = jax.jit(functools.partial(_true_returns, config, space))
    returns = [np.asarray(run(data, shift), np.float64) for shift in data.shifts]
    size = config.heparin.truth_patients
    return Problem(
        truth=np.array([x.mean() for x in returns]),
        truth_error=np.array([x.std(ddof=1) / np.sqrt(size) for x in returns]),
        data=data,
        replicate=functools.partial(_replicate, config, space),
    )


def tilted(policy: Policy, num_actions: int) -> Policy:
    """Log odds of the highest against the lowest dose raised by a shift.

    Args:
      policy: a policy over doses in rising order.
      num_actions: `A`.

    Returns:
      A policy with the parameters (those of `policy`, shift []).
    """
    level = np.linspace(-0.5, 0.5, num_actions, dtype=np.float32)

    def log_probs(params: tuple[Params, Array], states: Array) -> Array:
        inner, shift = params
        scores = policy.log_probs(inner, states)
        return jax.nn.log_softmax(
            scores + jnp.broadcast_to(shift * level, scores.shape)
        )

    return Policy(log_probs)


def clone(
    key: Key, config: HeparinConfig, states: Array, actions: Array, num_actions: int
) -> Params:
    """Maximum likelihood for a fixed number of steps, so that it can be mapped.

    Args:
      key: consumed.
      config: network and steps.
      states: [M, S].
      actions: [M] int32.
      num_actions: `A`.

    Returns:
      Parameters of `_actor`.
    """
    actor = actor_lib.make(config.hidden, states.shape[-1], num_actions)
    optimizer = optimize.adam(config.clone_rate)

    def loss(params: Params, states: Array, actions: Array) -> tuple[Array, Metrics]:
        log_probs = actor.policy.log_probs(params, states)
        return -jnp.mean(actor_lib.log_prob_of(log_probs, actions)), {}

    step = optimize.gradient_step(loss, optimizer)

    def scan_step(
        carry: tuple[optimize.Learner, Key], _: None
    ) -> tuple[tuple[optimize.Learner, Key], None]:
        learner, key = carry
        key, batch_key = jax.random.split(key)
        rows = jax.random.randint(batch_key, (config.clone_batch,), 0, actions.shape[0])
        return (step(learner, states[rows], actions[rows])[0], key), None

    init_key, run_key = jax.random.split(key)
    start = optimize.start(optimizer, actor.init(init_key))
    (learner, _), _ = jax.lax.scan(
        scan_step, (start, run_key), None, length=config.clone_steps
    )
    return learner.params


def _actor(config: Config, space: Space) -> Policy:
    hidden = config.heparin.hidden
    return actor_lib.make(hidden, space.state_dim, space.num_actions).policy


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
    space = records_lib.make_space(schema)
    scales = records_lib.fit_scales(schema, space, arrays)
    records = records_lib.make_records(schema, space, scales, arrays, "train", 1)
    rows = records.transitions
    fit = jax.jit(clone, static_argnums=(1, 4))
    params = fit(
        jax.random.fold_in(jax.random.key(config.seed), 1),
        config.heparin,
        records.states[rows],
        records.actions[rows],
        space.num_actions,
    )
    edges = jnp.asarray(schema.actions.edges, jnp.float32)
    shifts = jnp.asarray(config.shifts, jnp.float32)
    return space, Data(scales, edges, params, shifts)


def _rewards(space: Space, seen: heparin.Observation) -> Array:
    """[N, H] r_p of the value known at the end of each hour."""
    channel, low, high = space.target or (0, *PEOPLE.aptt_range)
    return clinical.range_reward(seen.channel_value[:, 1:, channel], low, high)


def _true_returns(config: Config, space: Space, data: Data, shift: Array) -> Array:
    """Discounted sums [N] of new patients, the same ones for every shift."""
    policy = tilted(_actor(config, space), space.num_actions)
    dosing = simulation.learned_policy(
        space, data.scales, policy.log_probs, (data.clone, shift)
    )
    key = jax.random.fold_in(jax.random.key(config.seed), 2)
    treated = stays.simulate_policy(
        PEOPLE, dosing, key, config.heparin.truth_patients, config.ope.horizon
    )
    powers = config.ope.discount ** jnp.arange(config.ope.horizon, dtype=jnp.float32)
    return _rewards(space, treated.observations) @ powers


def _logger(config: Config, space: Space, data: Data) -> stays.Policy:
    if config.heparin.logger == "cloned":
        actor = _actor(config, space)
        return simulation.learned_policy(
            space, data.scales, actor.log_probs, data.clone
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


def _replicate(
    config: Config, space: Space, number: Array, data: Data
) -> dict[str, off_policy.Estimate]:
    root = jax.random.fold_in(jax.random.key(config.seed), 3)
    keys = jax.random.split(jax.random.fold_in(root, number), 4)
    # Drawn together, since a simulator takes long to compile.
    everyone = _log(config, space, data, keys[0], config.patients + config.fit_patients)
    judged = jax.tree.map(lambda x: x[: config.patients], everyone)
    fitting = jax.tree.map(lambda x: x[config.patients :], everyone)
    actor = _actor(config, space)
    mu = data.clone
    if config.behaviour == "fitted":
        mu = clone(
            keys[1],
            config.heparin,
            fitting.states[:, :-1].reshape(-1, space.state_dim),
            fitting.actions.ravel(),
            space.num_actions,
        )
    log_mu = actor.log_probs(mu, judged.states[:, :-1])
    policy = tilted(actor, space.num_actions)

    def one(shift: Array) -> dict[str, off_policy.Estimate]:
        params: Any = (data.clone, shift)
        q = off_policy.fitted_values(
            keys[2],
            config.ope,
            config.fitted_q,
            fitting,
            policy.log_probs(params, fitting.states),
            judged,
        )
        log_pi = policy.log_probs(params, judged.states[:, :-1])
        return off_policy.estimate(
            keys[3],
            config.ope,
            log_of(judged, log_pi, log_mu, q),
            judged.patients,
            config.patients,
        )

    # The same keys for all: policies are compared on the same draws.
    return jax.vmap(one)(data.shifts)
