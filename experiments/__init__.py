"""One short script per table or figure; importing one has no effect."""
