"""The report of a run: one HTML page, readable offline, drawn from `results.json`."""
