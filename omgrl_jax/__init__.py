"""Offline model-based inverse reinforcement learning for dosing, in JAX."""

__version__ = "0.1.0"
