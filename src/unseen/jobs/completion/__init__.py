"""Tails of relations that no triple of a graph has shown."""
