"""CREST: attributes grounded in regions by two pathways, whose opinions are weighed by their uncertainty."""

from unseen.methods.zero_shot.crest.method import CREST

__all__ = ["CREST"]
