"""Declared simulations: what changes pictures or points in a known way, so that it can be measured what that does."""

from unseen.data.simulate.corruptions import CORRUPTIONS, corrupted
from unseen.data.simulate.hard import HARD, harder, varied
from unseen.data.simulate.occlusion import covered_cells, occluded
from unseen.data.simulate.points import hidden, turned, visible

__all__ = [
    "CORRUPTIONS",
    "HARD",
    "corrupted",
    "covered_cells",
    "harder",
    "hidden",
    "occluded",
    "turned",
    "varied",
    "visible",
]
