"""The page of a public benchmark, beside published numbers."""
