"""Offline algorithms: each a bundle of pure functions made from shared parts."""
