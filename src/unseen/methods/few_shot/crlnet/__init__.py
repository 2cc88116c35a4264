"""CRLNet: few-shot recognition of hard pictures, support and query represented conditionally on each other."""

from unseen.methods.few_shot.crlnet.method import CRLNet

__all__ = ["CRLNet"]
