"""Text2Node: any phrase to the nearest concepts of a large taxonomy, those without training phrases included."""

from unseen.methods.zero_shot.text2node.method import Text2Node

__all__ = ["Text2Node"]
