"""Virtual patients in septic shock: fluids and vasopressors, four hours a step."""
