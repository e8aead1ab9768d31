"""The guardian: which state-action pairs clinicians' records support (OGSRL)."""
