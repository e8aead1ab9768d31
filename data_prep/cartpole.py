"""Expert logs of CartPole-v1, whole or sub-sampled, in the dataset format.

    python -m data_prep.cartpole --demonstrations=1 --subsample=20 --seed=0 --out=DIR

Episodes are played in Gymnasium's own environment by the controller of
`omgrl_jax/envs/cartpole.py`, which reaches the full 500 steps every time; with
--epsilon a share of its actions is drawn at random, for logs of mixed quality. Each
step is rewarded by 1. An episode is `terminal` only where the pole fell or the cart
left the track, not where the time was up.

With --subsample=k every k-th transition (s, a, s') is kept, from an offset drawn for
each episode, as in ValueDICE (arXiv 1912.05032) and IQ-Learn (arXiv 2106.12142). The
format stores stays, whose consecutive rows are steps of the environment: each kept
transition is a stay of length one, and those of one episode share their `patient`. Such
logs suit methods that learn from single transitions. Methods that compare windows or
fit a world model need whole episodes: --subsample=1.

--demonstrations counts the training episodes. Validation and test episodes are others,
sub-sampled likewise: they stop the cloning of the expert early, nothing more.
"""

import dataclasses
import pathlib

import numpy as np
from absl import flags, logging

from omgrl_jax.data import dataset
from omgrl_jax.envs import cartpole
from omgrl_jax.runtime import flags as config_flags
from omgrl_jax.runtime import script


@dataclasses.dataclass(frozen=True)
class Config:
    """What to log; every field is a flag of the same name.

    Attributes:
      demonstrations: training episodes.
      held_out: further episodes for validation, and as many for testing.
      subsample: keep every so-many-th transition; 1 keeps whole episodes.
      epsilon: share of actions drawn at random.
      seed: seed of everything that is drawn.
    """

    demonstrations: int = dataclasses.field(default=1, metadata={"min": 1})
    held_out: int = dataclasses.field(default=1, metadata={"min": 1})
    subsample: int = dataclasses.field(
        default=20, metadata={"min": 1, "max": cartpole.LIMIT}
    )
    epsilon: float = dataclasses.field(default=0.0, metadata={"min": 0, "max": 1})
    seed: int = 0


def record(config: Config) -> list[cartpole.Episode]:
    """Plays all episodes: training, then validation, then test."""
    rng = np.random.default_rng([config.seed, 0])
    count = config.demonstrations + 2 * config.held_out

    def act(observations: np.ndarray) -> np.ndarray:
        expert = cartpole.expert(observations)[:, 1]
        right = (1 - config.epsilon) * expert + config.epsilon / 2
        return rng.random(count) < right

    return cartpole.play(act, rng.integers(0, 2**31, count).tolist())


def to_trajectories(
    config: Config, episodes: list[cartpole.Episode]
) -> dataset.Trajectories:
    """Cuts the episodes into stays.

    Args:
      config: the settings.
      episodes: what `record` returned.

    Returns:
      The arrays: stays of one transition each where the logs are sub-sampled.
    """
    rng = np.random.default_rng([config.seed, 1])
    sizes = (config.demonstrations, config.held_out, config.held_out)
    splits = np.repeat(np.arange(3), sizes)
    stays: list[cartpole.Episode] = []
    patients: list[int] = []
    for number, episode in enumerate(episodes):
        offset = int(rng.integers(min(config.subsample, episode.actions.size)))
        kept = thin(episode, config.subsample, offset)
        stays += kept
        patients += [number] * len(kept)
    return dataset.Trajectories(
        observations=np.concatenate([stay.observations for stay in stays]),
        actions=np.concatenate([stay.actions for stay in stays]),
        lengths=np.array([stay.actions.size for stay in stays]),
        patients=np.array(patients),
        split=splits[patients],
        terminals=np.array([stay.fell for stay in stays]),
        rewards=np.concatenate([stay.rewards for stay in stays]),
    )


def thin(episode: cartpole.Episode, every: int, offset: int) -> list[cartpole.Episode]:
    """Keeps every so-many-th transition of an episode, or the whole of it.

    Args:
      episode: the episode.
      every: 1 for the whole episode.
      offset: first transition that is kept.

    Returns:
      Stays of one transition; only the transition by which the pole fell `fell`. The
      episode itself where `every` is 1.
    """
    if every == 1:
        return [episode]
    last = episode.actions.size - 1
    return [
        cartpole.Episode(
            observations=episode.observations[t : t + 2],
            actions=episode.actions[t : t + 1],
            rewards=episode.rewards[t : t + 1],
            fell=episode.fell and t == last,
        )
        for t in range(offset, last + 1, every)
    ]


def to_schema(config: Config) -> dataset.Schema:
    """The schema, with the settings in it."""
    return dataset.Schema(
        name="cartpole",
        features=tuple(dataset.Feature(*feature) for feature in cartpole.FEATURES),
        actions=dataset.Actions(len(cartpole.ACTIONS), labels=cartpole.ACTIONS),
        step_hours=cartpole.STEP / 3600,
        reward={"kind": "recorded"},
        simulator={"environment": cartpole.NAME, "run": dataclasses.asdict(config)},
    )


def write(config: Config, out: str | pathlib.Path) -> dataset.Trajectories:
    """Plays and writes the dataset.

    Args:
      config: what to log.
      out: directory, made when missing.

    Returns:
      The arrays written.

    Raises:
      RunError: if Gymnasium is not installed.
    """
    arrays = to_trajectories(config, record(config))
    dataset.save(out, to_schema(config), arrays)
    return arrays


def define_flags(values: flags.FlagValues = flags.FLAGS) -> None:
    """One flag for each field of `Config`, and --out."""
    config_flags.define_dataset_script(Config, values)


def main() -> None:
    """Writes the dataset named by the flags."""
    config, out = config_flags.read(Config), flags.FLAGS.out
    arrays = write(config, out)
    training = arrays.split == 0
    logging.info(
        "%d training transitions of %d episodes in %s",
        arrays.lengths[training].sum(),
        config.demonstrations,
        out,
    )


if __name__ == "__main__":
    script.run(main, define_flags)
