"""GraphCLIP: an encoder of subgraphs learns the space of a frozen sentence encoder, by summaries of what it reads."""

from unseen.methods.multimodal.graphclip.method import GraphCLIP

__all__ = ["GraphCLIP"]
