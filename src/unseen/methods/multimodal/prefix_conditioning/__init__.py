"""Prefix conditioning: one image-text model of labels and captions, whose text tower is told which of them it reads."""

from unseen.methods.multimodal.prefix_conditioning.inputs import TEMPLATES
from unseen.methods.multimodal.prefix_conditioning.method import SOURCES, PrefixConditioning

__all__ = ["SOURCES", "TEMPLATES", "PrefixConditioning"]
