"""The future of a series that nobody trained on, by what has been best on its own past."""
