"""Runs that were made before and are like the one at hand: what worked there, and what to try first."""

from unseen.precedents.advice import Recommendation, first_of, near_runs, recommend
from unseen.precedents.nearest import Gain, Precedent, gains, nearest, of_run, recorded
from unseen.precedents.profile import Profile, profile

__all__ = [
    "Gain",
    "Precedent",
    "Profile",
    "Recommendation",
    "first_of",
    "gains",
    "near_runs",
    "nearest",
    "of_run",
    "profile",
    "recommend",
    "recorded",
]
