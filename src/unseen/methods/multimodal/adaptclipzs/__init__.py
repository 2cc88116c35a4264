"""AdaptCLIPZS: better zero-shot recognition by fine-tuning on seen classes with bags of sentences."""

from unseen.methods.multimodal.adaptclipzs.method import AdaptCLIPZS

__all__ = ["AdaptCLIPZS"]
