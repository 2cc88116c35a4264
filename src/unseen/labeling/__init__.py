"""Which samples to label next, when only a few can be."""

from unseen.labeling.propose import Proposal, propose

__all__ = ["Proposal", "propose"]
