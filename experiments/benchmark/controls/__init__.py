"""What the parts are timed against: the same work as others do it."""
