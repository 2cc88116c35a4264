"""Text2Node: any phrase to the nearest concepts of a large taxonomy, those without training phrases included."""

from unseen.methods.zero_shot.text2node.method import Ranked, Text2Node

__all__ = ["Ranked", "Text2Node"]
