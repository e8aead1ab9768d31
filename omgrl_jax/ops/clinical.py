"""Clinical rewards and outcomes of one stay."""

import jax
import jax.numpy as jnp

from omgrl_jax.types import Array

# Rewards that the authors of OMG-RL ask of any one step of a success: the first of
# clinicians, the second of predictions for their agent (their public code).
ANY_STEP_LEVELS = (0.9, 0.2)


def range_reward(value: Array, low: float, high: float) -> Array:
    """Reward for keeping a value inside a range (r_p, arXiv 2409.13299, Section V).

    `r_p = 2 sigmoid(x - low) - 2 sigmoid(x - high) - 1`, about 1 inside the range,
    about -1 outside, 0 at both ends.

    Args:
      value: [...] the measured quantity (aPTT in s: low 60, high 100).
      low: lower end of the range.
      high: upper end.

    Returns:
      [...] rewards in (-1, 1).
    """
    # jax.nn.sigmoid is stable where 1 / (1 + exp(high - x)) overflows.
    return 2.0 * jax.nn.sigmoid(value - low) - 2.0 * jax.nn.sigmoid(value - high) - 1.0


def longest_run(inside: Array) -> Array:
    """Length of the longest run of True in [T], int32."""

    def step(run: Array, hit: Array) -> tuple[Array, Array]:
        run = jnp.where(hit, run + 1, 0)
        return run, run

    _, runs = jax.lax.scan(step, jnp.int32(0), inside)
    return jnp.max(runs)


def treatment_outcomes(
    value: Array, low: float, high: float, success_window: int = 24, sustained: int = 4
) -> dict[str, Array]:
    """What became of one stay, by one definition for every policy.

    Args:
      value: [T] hourly values (aPTT in s).
      low: lower end of the therapeutic range.
      high: upper end.
      success_window: steps within which success must come.
      sustained: steps in a row inside the range that count as success.

    Returns:
      `success` (0/1), shares of time `in_range`, `below`, `above`, `r_p` an hour, and
      beside `success` the authors' looser definitions, `success_any_0.9` and
      `success_any_0.2` (0/1): r_p reaches that level at any step.
    """
    inside = (value >= low) & (value <= high)
    run = longest_run(inside[:success_window])
    rewards = range_reward(value, low, high)
    best = jnp.max(rewards)
    loose = {
        f"success_any_{level}": (best >= level).astype(value.dtype)
        for level in ANY_STEP_LEVELS
    }
    return {
        "success": (run >= sustained).astype(value.dtype),
        "in_range": jnp.mean(inside.astype(value.dtype)),
        "below": jnp.mean((value < low).astype(value.dtype)),
        "above": jnp.mean((value > high).astype(value.dtype)),
        "r_p": jnp.mean(rewards),
        **loose,
    }
