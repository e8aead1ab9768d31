"""The example of WORKSPACE.md, run as it stands, makes a dataset to learn from."""

import pathlib
import re

import jax
import numpy as np
import pytest

from omgrl_jax.algorithms import combo, omg_rl
from omgrl_jax.data import dataset, records
from omgrl_jax.data import scales as scales_lib
from omgrl_jax.data import space as space_lib
from omgrl_jax.learners import behaviour, dyna, reward
from omgrl_jax.learners import soft_actor_critic as sac
from omgrl_jax.models import ensemble, world, world_fit

PAGE = pathlib.Path(__file__).parents[1] / "WORKSPACE.md"
FIT = ensemble.FitConfig(2, 2, max_epochs=1, batch_size=512)
AGENT = sac.AgentConfig((8,), (8,), batch_size=16, updates=2)
ROLLOUT = dyna.RolloutConfig(horizon=5, rollouts=4, kept_epochs=2)


def example():
    text = PAGE.read_text()
    section = text[text.index("### A dataset in about 20 lines") :]
    return re.search(r"```python\n(.*?)```", section, re.DOTALL).group(1)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The dataset that the example writes into the current directory."""
    folder = tmp_path_factory.mktemp("example")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        exec(compile(example(), str(PAGE), "exec"), {})
    return dataset.load(folder / "pole")


def test_the_example_is_short_and_needs_numpy_alone():
    lines = [line for line in example().splitlines() if line.strip()]
    assert len(lines) <= 24
    imported = [line for line in lines if "import" in line]
    assert imported == ["import numpy as np", "from omgrl_jax.data import dataset"]


def test_it_holds_what_it_says(written):
    arrays = written.trajectories
    assert written.schema.channels == () and set(arrays.split) == {0, 1, 2}
    assert 0.1 < arrays.terminals.mean() < 0.9
    # The reward of a step is that of the state it led to: the row after.
    starts = dataset.row_starts(arrays.lengths)
    reached = np.delete(arrays.observations[:, 0], starts)
    np.testing.assert_allclose(arrays.rewards, 1 - np.abs(reached), rtol=1e-5)


@pytest.fixture(scope="module")
def learned(written):
    """A world and a behaviour policy, fitted for a moment."""
    schema, arrays = written.schema, written.trajectories
    space = space_lib.make_space(schema)
    scales = scales_lib.fit_scales(schema, space, arrays)
    train, validation = (
        records.make_records(schema, space, scales, arrays, name, ROLLOUT.horizon)
        for name in ("train", "validation")
    )
    config = world.WorldConfig((8,), (8,))
    made = world.make(config, space)
    params, _ = world_fit.fit(
        made, config, FIT, jax.random.key(0), scales, train, validation
    )
    policy, fit = behaviour.make((8,), space)
    mu, _ = fit(jax.random.key(1), FIT, scales, train, validation)
    return space, made, policy, dyna.Data(train, params, mu)


@pytest.mark.parametrize("name", ["combo", "omg_rl"])
def test_the_methods_learn_from_it(learned, name):
    space, made, policy, data = learned
    if name == "combo":
        algorithm = combo.make(
            combo.Config(agent=AGENT, rollout=ROLLOUT), space, made.dynamics
        )
    else:
        psi = reward.RewardConfig(hidden=(8,), steps=2)
        config = omg_rl.Config(agent=AGENT, rollout=ROLLOUT, reward=psi)
        algorithm = omg_rl.make(config, space, made.dynamics, policy)
    state = jax.jit(algorithm.init)(jax.random.key(0), data)
    update = jax.jit(algorithm.update)
    for key in jax.random.split(jax.random.key(1), 2):
        state, metrics = update(state, key, data)
    assert all(np.isfinite(value) for value in metrics.values())
    log_probs = algorithm.log_probs(state, data.train.states[:3])
    np.testing.assert_allclose(np.exp(log_probs).sum(axis=1), np.ones(3), rtol=1e-5)
