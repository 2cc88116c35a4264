"""LisGAN: generate features of never-seen classes from their descriptions, then classify in two passes."""

from unseen.methods.zero_shot.lisgan.method import LisGAN
from unseen.methods.zero_shot.lisgan.paper import PAPER

__all__ = ["PAPER", "LisGAN"]
