"""GraphCLIP: an encoder of subgraphs learns the space of a frozen sentence encoder, by summaries of what it reads."""

from unseen.methods.multimodal.graphclip.method import GraphCLIP
from unseen.methods.multimodal.graphclip.summaries import prompts_for, read_summaries, summarize, write_summaries

__all__ = ["GraphCLIP", "prompts_for", "read_summaries", "summarize", "write_summaries"]
