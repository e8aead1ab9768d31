"""PerSim: simulators of single agents, and what planning with them earns."""
