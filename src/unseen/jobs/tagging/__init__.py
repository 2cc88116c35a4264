"""Spans of texts, in languages with annotations and without: `unseen tag`."""
