"""MINIMA: a matcher that is tuned on photographs rendered in many modalities."""

from unseen.methods.matching.minima.method import MINIMA

__all__ = ["MINIMA"]
