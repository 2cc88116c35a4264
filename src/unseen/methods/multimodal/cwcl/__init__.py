"""CWCL: a new modality is attached to a frozen pretrained encoder, so that both can be used zero-shot."""

from unseen.methods.multimodal.cwcl.loss import cwcl, pair_weights
from unseen.methods.multimodal.cwcl.method import CWCL

__all__ = ["CWCL", "cwcl", "pair_weights"]
