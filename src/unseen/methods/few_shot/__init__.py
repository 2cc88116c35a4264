"""A handful of labels for classes never seen."""
