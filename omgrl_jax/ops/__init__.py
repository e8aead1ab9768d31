"""Arrays in, arrays out: the mathematics for one unbatched example."""
