"""UGT: a part-based generative classifier whose parts are moved between two domains."""

from unseen.methods.adaptation.ugt.method import UGT

__all__ = ["UGT"]
