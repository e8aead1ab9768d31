"""Virtual heparin patients as a Gymnasium environment, for other people's agents.

    env = HeparinEnv()
    observation, info = env.reset(seed=0)
    observation, reward, terminated, truncated, info = env.step(action)

An episode is a new patient for a fixed number of hours; it is truncated, never
terminated. The reward is that of the TRUE aPTT, which the agent does not see.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from omgrl_jax.envs import heparin
from omgrl_jax.ops import clinical

try:
    import gymnasium
except ImportError as error:
    raise ImportError(
        "The Gymnasium wrapper needs an optional package; install it with "
        "pip install 'omgrl_jax[gym]'"
    ) from error

OBSERVATION_NAMES = (
    *heparin.FEATURE_NAMES,
    *heparin.INDICATOR_NAMES,
    *("aptt_last", "aptt_age", "aptt_measured", "aptt_censored", "dose_last"),
)


@dataclasses.dataclass(frozen=True)
class EnvConfig:
    """What an episode is.

    Attributes:
      population: the patients.
      doses: U/h given by each action.
      hours: length of an episode.
      target: range of the true aPTT that is rewarded, s.
    """

    population: heparin.PatientDistribution = dataclasses.field(
        default_factory=heparin.PatientDistribution
    )
    doses: tuple[float, ...] = (0.0, 850.0, 1200.0, 1500.0, 1900.0, 2700.0)
    hours: int = 48
    target: tuple[float, float] = (60.0, 100.0)

    def __post_init__(self):
        """Raises ValueError for an episode that cannot be played."""
        if self.hours < 1 or len(self.doses) < 2 or min(self.doses) < 0:
            raise ValueError(
                "EnvConfig: needs hours >= 1 and at least two doses, none negative."
            )


@functools.partial(jax.jit, static_argnums=0)
def _reset(config: heparin.PatientDistribution, seed: jax.Array):
    reset_key, run_key = jax.random.split(jax.random.key(seed))
    return *heparin.reset(config, reset_key), run_key


@functools.partial(jax.jit, static_argnums=0)
def _step(config: heparin.PatientDistribution, state, run_key, dose):
    run_key, step_key = jax.random.split(run_key)
    return *heparin.step(config, state, step_key, dose), run_key


class HeparinEnv(gymnasium.Env):
    """One virtual patient an episode, one hour a step.

    Observations are the 22 numbers of `OBSERVATION_NAMES` in raw units, float32, as
    known at the start of the hour. Actions are indices into `EnvConfig.doses`. `info`
    of a step holds the true `aptt` (s) and heparin `concentration` (IU/mL).
    """

    metadata = {"render_modes": []}  # noqa: RUF012  (declared so by gymnasium)

    def __init__(self, config: EnvConfig | None = None):
        """Makes the environment.

        Args:
          config: what an episode is; the defaults when omitted.
        """
        self.config = config or EnvConfig()
        self.action_space = gymnasium.spaces.Discrete(len(self.config.doses))
        count = len(OBSERVATION_NAMES)
        self.observation_space = gymnasium.spaces.Box(
            0.0, np.finfo(np.float32).max, (count,), np.float32
        )
        self._state: heparin.PatientState | None = None
        self._key: Any = None
        self._hour = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """A new patient; the seed decides the patient and all noise that follows."""
        super().reset(seed=seed, options=options)
        drawn = jnp.uint32(self.np_random.integers(2**32))
        self._state, observation, self._key = _reset(self.config.population, drawn)
        self._hour = 0
        return self._vector(observation, 0.0), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One hour of the chosen infusion.

        Args:
          action: index into `EnvConfig.doses`.

        Returns:
          Observation, reward in (-1, 1), terminated (always False), truncated, info.

        Raises:
          gymnasium.error.ResetNeeded: before the first `reset`.
          ValueError: if the action is not one of the doses.
        """
        if self._state is None:
            raise gymnasium.error.ResetNeeded("Call reset() before the first step().")
        if not self.action_space.contains(action):
            raise ValueError(f"action {action!r} is not in {self.action_space}")
        dose = self.config.doses[int(action)]
        self._state, observation, truth, self._key = _step(
            self.config.population, self._state, self._key, dose
        )
        self._hour += 1
        reward = clinical.range_reward(truth.aptt, *self.config.target)
        info = {
            "aptt": float(truth.aptt),
            "concentration": float(truth.concentration),
        }
        truncated = self._hour >= self.config.hours
        return self._vector(observation, dose), float(reward), False, truncated, info

    def _vector(self, observation: heparin.Observation, dose: float) -> np.ndarray:
        parts = [*jax.device_get(tuple(observation)), [dose]]
        # Field order of Observation: features, value, measured, age, censored.
        features, value, measured, age, censored, last = parts
        return np.concatenate(
            [features, value, age, measured, censored, last], dtype=np.float32
        )
