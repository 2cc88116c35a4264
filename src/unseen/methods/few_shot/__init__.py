"""A handful of labelled samples of new classes."""
