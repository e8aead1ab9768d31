"""Programs that write the dataset format from records or from virtual patients."""
