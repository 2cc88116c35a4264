"""Choosing and trusting without truth."""

from unseen.validation.accuracy import accuracy_interval, average_thresholded_confidence
from unseen.validation.agreement import agreement
from unseen.validation.choice import weigh, without_doubt
from unseen.validation.classwise import classwise_validation, pretended
from unseen.validation.conformal import conformal_widths, coverage
from unseen.validation.crafted import (
    CraftedScore,
    Scored,
    crafted_copies,
    crafted_validation,
    kfold_select,
    middle_of_the_best,
    select,
)
from unseen.validation.density import soft_neighbourhood_density
from unseen.validation.ensemble import ensemble_validation
from unseen.validation.entropy import certainty
from unseen.validation.importance import density_ratio, embedded_validation
from unseen.validation.information import information_maximization
from unseen.validation.rehearsal import leave_out, pretend_unseen, told_apart, told_by_others
from unseen.validation.reverse import cross_validated, nearest_means, nearest_neighbours, reverse_validation
from unseen.validation.source import source_validation
from unseen.validation.vote import vote

__all__ = [
    "CraftedScore",
    "Scored",
    "accuracy_interval",
    "agreement",
    "average_thresholded_confidence",
    "certainty",
    "classwise_validation",
    "conformal_widths",
    "coverage",
    "crafted_copies",
    "crafted_validation",
    "cross_validated",
    "density_ratio",
    "embedded_validation",
    "ensemble_validation",
    "information_maximization",
    "kfold_select",
    "leave_out",
    "middle_of_the_best",
    "nearest_means",
    "nearest_neighbours",
    "pretend_unseen",
    "pretended",
    "reverse_validation",
    "select",
    "soft_neighbourhood_density",
    "source_validation",
    "told_apart",
    "told_by_others",
    "vote",
    "weigh",
    "without_doubt",
]
