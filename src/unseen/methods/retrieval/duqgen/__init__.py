"""DUQGen: adapt a ranker to a collection by queries that a language model writes for diverse documents."""

from unseen.methods.retrieval.duqgen.method import DUQGen

__all__ = ["DUQGen"]
