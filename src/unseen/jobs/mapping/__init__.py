"""Phrases to the nodes of a taxonomy."""
