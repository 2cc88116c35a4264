"""Protocols: what a truth is graded by."""

from unseen.evaluation.protocols.base import Protocol, auto, get, names

__all__ = ["Protocol", "auto", "get", "names"]
