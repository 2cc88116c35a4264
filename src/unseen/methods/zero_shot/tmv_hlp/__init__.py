"""TMV-HLP: align features, attributes and word vectors of an unlabeled pool, spread prototypes over hypergraphs."""

from unseen.methods.zero_shot.tmv_hlp.method import TMVHLP

__all__ = ["TMVHLP"]
