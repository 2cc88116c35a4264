"""Density-based pruning: which image-text pairs to train on, with a budget per concept set by its complexity."""

from unseen.methods.curation.concept_pruning.budgets import (
    Budgets,
    automatic_temperature,
    budgets,
    complexity,
    inter_distance,
    intra_distance,
    shares,
)
from unseen.methods.curation.concept_pruning.concepts import DUPLICATE, MEMBER, UNLIKE, Concepts, find_concepts
from unseen.methods.curation.concept_pruning.method import ConceptPruning
from unseen.methods.curation.concept_pruning.selection import (
    RULES,
    Selection,
    by_concept,
    number,
    random_rule,
    similarity_rule,
    ssp_rule,
    uniform_rule,
)

__all__ = [
    "DUPLICATE",
    "MEMBER",
    "RULES",
    "UNLIKE",
    "Budgets",
    "ConceptPruning",
    "Concepts",
    "Selection",
    "automatic_temperature",
    "budgets",
    "by_concept",
    "complexity",
    "find_concepts",
    "inter_distance",
    "intra_distance",
    "number",
    "random_rule",
    "shares",
    "similarity_rule",
    "ssp_rule",
    "uniform_rule",
]
