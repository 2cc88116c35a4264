"""ParZC: rank architectures that nobody trained, from a handful that somebody did."""

from unseen.methods.compression.parzc.method import ParZC

__all__ = ["ParZC"]
