"""Runs that were made before and are like the one at hand: what worked there."""

from unseen.precedents.nearest import Precedent, gains, nearest, of_run, recorded
from unseen.precedents.profile import Profile, profile

__all__ = ["Precedent", "Profile", "gains", "nearest", "of_run", "profile", "recorded"]
