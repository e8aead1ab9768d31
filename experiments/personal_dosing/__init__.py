"""Patients as agents: PerSim's factors for each patient, and dosing by planning."""
