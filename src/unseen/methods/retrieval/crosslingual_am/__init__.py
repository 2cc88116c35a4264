"""A tagger for a language without annotations: translate, align, project, learn."""

from unseen.methods.retrieval.crosslingual_am.method import CrossLingualAM
from unseen.methods.retrieval.crosslingual_am.projection import postprocess, project, projected

__all__ = [
    "CrossLingualAM", "postprocess", "project", "projected",
]  # fmt: skip
