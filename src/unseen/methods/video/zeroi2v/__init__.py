"""ZeroI2V: a frozen image transformer that learns to read videos, and costs no more than it did."""

from unseen.methods.video.zeroi2v.method import ZeroI2V

__all__ = ["ZeroI2V"]
