"""The loop around an algorithm: training, sweeps, checkpoints, metrics, files.

These modules know the `Algorithm` tuple and never a particular algorithm. Import the
module you need; nothing is re-exported, so that importing one does not start JAX.
"""
