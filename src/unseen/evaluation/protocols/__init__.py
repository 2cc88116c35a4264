"""Protocols: what a truth is graded by."""

from unseen.evaluation.protocols.base import Protocol, auto, get, names
from unseen.evaluation.protocols.run import Outcome, run

__all__ = ["Outcome", "Protocol", "auto", "get", "names", "run"]
