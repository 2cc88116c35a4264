"""ZSCL: an image-text model learns one task after another without losing its zero-shot ability."""

from unseen.methods.multimodal.zscl.method import ZSCL
from unseen.methods.multimodal.zscl.variants import VARIANTS

__all__ = ["VARIANTS", "ZSCL"]
