"""Loki: predict classes the model was never trained on, by a Fréchet mean over a label metric."""

from unseen.methods.zero_shot.loki.method import Loki

__all__ = ["Loki"]
