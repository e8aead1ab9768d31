"""What the study's methods are called, what they are, how they are drawn."""

from experiments.persim.config import LEARNERS
from experiments.persim.summary import ALONE, PERSONAL
from experiments.report import drawing, words

_LEARNERS = {name: words.policy(name) for name in LEARNERS}
LABELS = {
    "truth": "True physics",
    "persim": "PerSim",
    "persim_average": "Average agent",
    "one_hot": "Agent's number",
    "context_aware": "Agent's past",
    "untold": "One for all",
    "alone": "One for each",
    "from_log": "From a short log",
    "from_covariates": "From the physics",
    "average": "Average agent",
    **_LEARNERS,
    **{f"{name}{PERSONAL}": f"{label} + PerSim" for name, label in _LEARNERS.items()},
    **{f"{name}{ALONE}": f"{label}, own log" for name, label in _LEARNERS.items()},
}
NOTES = {
    "truth": "plans with the agent's real physics: what the others are measured by",
    "persim": "latent factors of agents, actions and states",
    "persim_average": "PerSim with the mean factor of all agents for everyone: what is "
    "left without what is personal",
    "one_hot": "a network that is told the agent's number",
    "context_aware": "a network that is told the last steps of the episode",
    "untold": "one network for all agents, told nothing",
    "alone": "a network for each agent, from its own log alone",
    **{
        name: "one policy for all agents, learned from their logs" for name in _LEARNERS
    },
    **{
        f"{name}{PERSONAL}": "a policy for each agent, learned in its PerSim simulator"
        for name in _LEARNERS
    },
    **{
        f"{name}{ALONE}": "a policy for each agent, learned from its own log; what "
        "agents usually do is known from all logs"
        for name in _LEARNERS
    },
}
_COLOURS = dict.fromkeys(_LEARNERS, drawing.GREY) | {
    "bcq": drawing.RED,
    "cql": drawing.GREEN,
    "morel": drawing.ORANGE,
    "mopo": drawing.PURPLE,
    "omg_rl": drawing.SKY,
}
STYLES = {
    "truth": (drawing.BLACK, "_"),
    "persim": (drawing.BLUE, "o"),
    "persim_average": (drawing.SKY, "h"),
    "one_hot": (drawing.RED, "s"),
    "context_aware": (drawing.GREEN, "^"),
    "untold": (drawing.ORANGE, "D"),
    "alone": (drawing.PURPLE, "P"),
    **{
        f"{name}{behind}": (colour, marker)
        for name, colour in _COLOURS.items()
        for behind, marker in (("", "s"), (PERSONAL, "o"), (ALONE, "v"))
    },
}
