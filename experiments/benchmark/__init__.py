"""How fast the parts are, beside what the machine could do and beside rivals."""
