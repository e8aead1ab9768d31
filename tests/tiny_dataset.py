"""Small made-up datasets: a drug that raises one channel, and a game with a score."""

import numpy as np

from omgrl_jax.data import dataset

DOSES = (0.0, 500.0, 1000.0)


def schema(reward="range", delay=0, channels=True):
    """Features weight (static) and pulse; channel aptt with the heparin states."""
    tracked, states = dataset.heparin_states(["weight", "pulse"], 2.0, delay)
    return dataset.Schema(
        name="tiny",
        features=(
            dataset.Feature("weight", "kg", static=True),
            dataset.Feature("pulse", "1/min", scale="log"),
        ),
        actions=dataset.Actions(3, "U/h", (1.0, 750.0), DOSES, ("none", "low", "high")),
        channels=(dataset.APTT,) if channels else (),
        tracked=tracked if channels else (),
        states=states if channels else {},
        default_state="history" if channels else "",
        reward={"range": {"kind": "range", "channel": "aptt"}}.get(
            reward, {"kind": reward}
        ),
    )


def trajectories(stays=12, seed=0, longest=12, channels=True, rewards=False):
    """Stays of 3 to `longest` steps; two stays a patient; splits 4 : 1 : 1."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(3, longest + 1, stays)
    rows, steps = int(lengths.sum() + stays), int(lengths.sum())
    actions = rng.integers(0, 3, steps)
    weight = np.repeat(rng.uniform(60, 90, stays), lengths + 1)
    pulse = np.exp(rng.normal(4.3, 0.1, rows))
    patients = np.arange(stays) // 2
    split = np.array([0, 0, 1, 0, 2, 0])[patients % 6]
    aptt = np.exp(rng.normal(4.2, 0.3, (rows, 1)))
    fields = {}
    if channels:
        measured = rng.random((rows, 1)) < 0.4
        fields = {
            "channel_values": aptt,
            "channel_measured": measured,
            "channel_ages": rng.integers(0, 6, (rows, 1)).astype(float),
        }
    if rewards:
        fields["rewards"] = rng.normal(size=steps)
    return dataset.Trajectories(
        observations=np.stack([weight, pulse], axis=1),
        actions=actions,
        lengths=lengths,
        patients=patients,
        split=split,
        terminals=rng.random(stays) < 0.5,
        amounts=np.asarray(DOSES)[actions] + rng.uniform(0, 50, steps),
        **fields,
    )
