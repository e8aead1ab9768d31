"""Environments with a known truth: virtual patients on intravenous heparin."""
