"""What the study's methods are called, what they are, how they are drawn."""

from experiments.report import drawing, words

LABELS = {
    "persim": "PerSim",
    "persim_average": "PerSim, average patient",
    "persim_free": "PerSim, free factors",
    "persim_free_average": "PerSim, free factors, average patient",
    "population": "Population model",
    "persistence": "Persistence",
    "truth": "True kinetics",
    "clinicians": "Clinicians",
    "clinicians_binned": "Clinicians, doses binned",
    "random": "Random doses",
}
NOTES = {
    "persim": "plans with latent factors that follow the patient's draws; their prior "
    "was integrated out while the networks were fitted",
    "persim_average": "the same networks, plans and doubt, with the average factors "
    "for everyone: what is left without what is personal; its intervals are too narrow",
    "persim_free": "the same with factors fitted freely to each training patient, as "
    "published",
    "persim_free_average": "that model with the average factors for everyone",
    "population": "plans with one outcome model for all, which knows a patient by the "
    "state alone: the last two aPTTs and the doses",
    "persistence": "the next aPTT is the last one",
    "truth": "the same planning with the patient's true kinetics; no bound: it looks "
    "as few hours ahead",
    "clinicians": "the simulated clinicians who made the records",
    "clinicians_binned": "their doses rounded to the bins that plans may give",
    "random": "each dose drawn by chance",
}
STYLES = {
    "truth": (drawing.PURPLE, "*"),
    "persim": (drawing.BLUE, "o"),
    "persim_average": (drawing.SKY, "h"),
    "persim_free": (drawing.RED, "s"),
    "persim_free_average": (drawing.ORANGE, "p"),
    "population": (drawing.GREEN, "^"),
    "clinicians": (drawing.BLACK, "D"),
    "clinicians_binned": (drawing.BLACK, "d"),
    "random": (drawing.GREY, "v"),
}


def inside(method: str) -> str:
    """A method's name as it stands inside a sentence."""
    label = LABELS[method]
    return label if label.startswith("PerSim") else words.inside(label)
