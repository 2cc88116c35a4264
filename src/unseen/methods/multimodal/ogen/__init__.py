"""OGEN: prompts that do not over-fit to known classes, by features of unknown ones made from their names."""

from unseen.methods.multimodal.ogen.method import OGEN

__all__ = ["OGEN"]
