"""The same places in two pictures."""
