"""MTE: recognize classes that only have a name vector, by a low-rank map learnt from what is relevant to them."""

from unseen.methods.zero_shot.mte_zsar.method import MTEZSAR

__all__ = ["MTEZSAR"]
