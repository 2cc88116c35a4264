"""What all methods share that choose samples to train on: concepts, budgets, and the base class `Pruner`."""

from unseen.methods.pruners.budgets import (
    Budgets,
    automatic_temperature,
    budgets,
    complexity,
    inter_distance,
    intra_distance,
    shares,
)
from unseen.methods.pruners.concepts import (
    BLANK,
    DUPLICATE,
    MEMBER,
    UNLIKE,
    Concepts,
    find_concepts,
)
from unseen.methods.pruners.pruner import Pruner
from unseen.methods.pruners.selection import (
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
    "Pruner",
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
