"""IQL with multi-task heads beside its rivals: fluids and vasopressors in sepsis."""
