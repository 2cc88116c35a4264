"""GIM: a matcher that learns from ordinary videos, labelled by several matchers and propagated to far frames."""

from unseen.methods.matching.gim.method import GIM

__all__ = ["GIM"]
