"""Samples that are alike as concepts, filtered and deduplicated; budgets for each; which of them are kept."""

from unseen.nn.concepts.budgets import (
    Budgets,
    automatic_temperature,
    budgets,
    complexity,
    inter_distance,
    intra_distance,
    shares,
)
from unseen.nn.concepts.concepts import (
    BLANK,
    DUPLICATE,
    MEMBER,
    UNLIKE,
    Concepts,
    find_concepts,
)
from unseen.nn.concepts.selection import (
    RULES,
    USES,
    Selection,
    by_concept,
    check_options,
    number,
    random_rule,
    similarity_rule,
    ssp_rule,
    uniform_rule,
)

__all__ = [
    "BLANK",
    "DUPLICATE",
    "MEMBER",
    "RULES",
    "UNLIKE",
    "USES",
    "Budgets",
    "Concepts",
    "Selection",
    "automatic_temperature",
    "budgets",
    "by_concept",
    "check_options",
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
