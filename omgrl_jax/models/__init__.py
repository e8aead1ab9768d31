"""Learned worlds: Gaussian ensembles, the patient model, and rollouts in it."""
