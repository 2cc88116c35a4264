"""GENIE: pictures from a generator and latents, and a quantizer that learns rounding and steps on them."""

from unseen.methods.compression.genie.method import Genie

__all__ = ["Genie"]
