"""Declared simulations: what changes pictures in a known way, so that it can be measured what that does."""

from unseen.data.simulate.corruptions import CORRUPTIONS, corrupted
from unseen.data.simulate.occlusion import covered_cells, occluded

__all__ = ["CORRUPTIONS", "corrupted", "covered_cells", "occluded"]
