"""Crafted shifts: a bank of strong changes in ten families, and views that keep edges alone."""

from unseen.data.shifts.bank import FAMILIES, FOLDS, check_families, craft
from unseen.data.shifts.edges import edge_map

__all__ = ["FAMILIES", "FOLDS", "check_families", "craft", "edge_map"]
