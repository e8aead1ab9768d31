"""Sweeps: one method over many seeds and settings, as few compiled programs."""
