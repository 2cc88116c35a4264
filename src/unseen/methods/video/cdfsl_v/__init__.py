"""CDFSL-V: actions of another video domain from a handful of clips each."""

from unseen.methods.video.cdfsl_v.method import CDFSLV

__all__ = ["CDFSLV"]
