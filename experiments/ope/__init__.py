"""Problems on which off-policy estimates are held against a value that is known."""
