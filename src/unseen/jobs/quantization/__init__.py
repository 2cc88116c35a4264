"""A network made small without its data."""
