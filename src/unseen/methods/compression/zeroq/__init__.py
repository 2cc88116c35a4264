"""ZeroQ: quantize a trained network without any of its data."""

from unseen.methods.compression.zeroq.method import ZeroQ

__all__ = ["ZeroQ"]
