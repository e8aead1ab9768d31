"""Controls do the same work: PyTorch's update, and rollouts by loops."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.benchmark import problem, update
from experiments.benchmark.config import Rollouts, Update
from experiments.benchmark.controls import d3rlpy_cql, loop_rollout, torch_update
from omgrl_jax.learners import soft_actor_critic as sac

SMALL = Update(updates=2, batch=12, hidden=8)


def compared(steps, **changes):
    """Both sides after some steps on the same batches: agents and last metrics."""
    run = update.configured(SMALL)
    run = dataclasses.replace(
        run,
        agent=dataclasses.replace(
            run.agent, actor_learning_rate=1e-2, critic_learning_rate=1e-2
        ),
        omg_rl=dataclasses.replace(run.omg_rl, conservatism=0.7),
    )
    own, space = run.omg_rl, problem.make(run, stays=10, hours=24).space
    agent = sac.make(own.agent, space, own.conservatism, own.push_down)
    state = agent.init(jax.random.key(0))
    rival = torch_update.Agent(run, state)
    for name, value in changes.items():
        setattr(rival, name, value)
    rng = np.random.default_rng(0)
    step = jax.jit(lambda s, reward, a, b: agent.update(s, lambda _: reward, a, b))
    for _ in range(steps):
        batch = torch_update.random_batch(rng, space, 12)
        whole = torch_update.transitions(batch)
        first, second = (
            jax.tree.map(lambda x, p=p: x[p], whole)
            for p in (slice(0, 6), slice(6, 12))
        )
        reward = jnp.asarray(batch.reward.numpy())
        state, metrics = step(state, reward, first, second)
        told = rival.step(batch, 6)
    return state, metrics, rival, told


def test_pytorch_makes_the_same_updates():
    pytest.importorskip("torch")
    state, metrics, rival, told = compared(3)
    for name, value in told.items():
        np.testing.assert_allclose(value, metrics[name], rtol=1e-4, atol=1e-5)
    pairs = (
        (rival.actor, state.actor.params),
        (rival.critics, state.critic.params),
        (rival.target, state.target),
    )
    for theirs, ours in pairs:
        for one, other in zip(theirs, torch_update.layers(ours), strict=True):
            np.testing.assert_allclose(one.detach(), other, rtol=1e-3, atol=2e-5)


def test_another_update_of_pytorch_is_told_apart():
    pytest.importorskip("torch")
    run = update.configured(SMALL)
    made = problem.make(run, stays=10, hours=24)
    state = update.make_loop(run, made).state
    torch_update.check(torch_update.Agent(run, state), run, made.space, state)
    other = torch_update.Agent(run, state)
    other.temperature = 0.9
    with pytest.raises(RuntimeError, match="differs from this package's: "):
        torch_update.check(other, run, made.space, state)


def test_the_timed_control_makes_updates():
    pytest.importorskip("torch")
    run = update.configured(SMALL)
    made = problem.make(run, stays=10, hours=24)
    state = update.make_loop(run, made).state
    learn = torch_update.make(run, made.space, state, 2)
    assert learn() != learn()


def test_d3rlpy_learns_on_the_same_sizes():
    pytest.importorskip("d3rlpy")
    run = update.configured(SMALL)
    space = problem.make(run, stays=10, hours=24).space
    told = d3rlpy_cql.make(run, space, None, 2)()
    assert all(np.isfinite(value) for value in told.values())


def test_peers_that_are_not_installed_are_none(monkeypatch):
    for module in (torch_update, d3rlpy_cql):
        monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
        assert module.make(None, None, None, 1) is None


SIZES = Rollouts(horizon=3, hidden=8, policy_hidden=8, control_members=4)


@pytest.fixture
def space():
    run = update.configured(SMALL)
    return problem.make(run, stays=10, hours=24).space


def test_loops_roll_out_and_keep_every_step(space):
    control = loop_rollout.make(SIZES, space, 5, torch=False)
    assert control.library == "numpy"
    found = control.run()
    assert found["obss"].shape == found["next_obss"].shape == (15, 16)
    assert found["actions"].shape == found["rewards"].shape == (15,)
    # Each step goes on from where the last one led.
    np.testing.assert_array_equal(found["obss"][5:], found["next_obss"][:-5])
    assert found["next_obss"].dtype == np.float32
    assert set(found["actions"]) <= set(range(6)) and np.ptp(found["actions"]) > 0


def test_pytorch_and_numpy_say_the_same_of_the_same_networks():
    pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(5, 3)).astype(np.float32)
    said = []
    for library in (loop_rollout._numpy(), loop_rollout._torch()):
        layers = loop_rollout._random(
            np.random.default_rng(1), library, 3, [4, 4], 2, 7
        )
        said.append(library.forward(layers, x))
    assert said[0].shape == (7, 5, 2)
    np.testing.assert_allclose(*said, rtol=1e-4, atol=1e-5)


def test_a_draw_is_that_of_one_elite():
    # Member k predicts a change of 10 k, and hardly any noise; members 1 and 3 count.
    told = np.zeros((4, 200, 6), np.float32)
    told[..., :3] = 10.0 * np.arange(4)[:, None, None]
    told[..., 3:] = -50.0
    states = np.ones((200, 2), np.float32)
    rng = np.random.default_rng(0)
    following, reward = loop_rollout.draw(rng, told, states, np.array([1, 3]))
    assert set(np.round(following[:, 0])) == {11.0, 31.0}
    np.testing.assert_allclose(following[:, 0] - 1.0, reward, atol=0.1)
    # The log-variance is clamped at -10: a deviation of .0067.
    assert 0 < np.abs(reward - np.round(reward)).max() < 0.05


def test_actions_are_drawn_from_the_softmax():
    logits = np.tile(np.log([[0.7, 0.2, 0.1]]), (20_000, 1))
    actions = loop_rollout.act(np.random.default_rng(0), logits)
    shares = np.bincount(actions, minlength=3) / 20_000
    np.testing.assert_allclose(shares, [0.7, 0.2, 0.1], atol=0.015)
