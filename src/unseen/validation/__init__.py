"""Choosing without truth."""

from unseen.validation.density import soft_neighbourhood_density
from unseen.validation.information import information_maximization
from unseen.validation.source import source_validation
from unseen.validation.vote import vote

__all__ = ["information_maximization", "soft_neighbourhood_density", "source_validation", "vote"]
