"""A tagger for a language without annotations: translate, align, project, learn."""

from unseen.methods.retrieval.crosslingual_am.method import Carried, CrossLingualAM
from unseen.methods.retrieval.crosslingual_am.projection import (
    Projected,
    Projection,
    postprocess,
    project,
    projected,
)

__all__ = [
    "Carried", "CrossLingualAM", "Projected", "Projection", "postprocess", "project", "projected",
]  # fmt: skip
