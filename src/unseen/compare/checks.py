"""What is refused before any work: samples without labels, of several kinds, too few classes, numbers out of range."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from unseen.compare.asked import check_place
from unseen.compare.names import some
from unseen.compare.tables import column_of_labels
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.kinds import KINDS
from unseen.report.words import SPACE, samples

log = logging.getLogger(__name__)

LARGEST_NUMBER = 1e15
"""Features beyond it have squares whose sums are no numbers any more in single precision."""


def check_labeled(name: str, domain: Domain) -> None:
    """`ValueError` if no sample of a domain has a label."""
    if not domain.labeled.any():
        size = samples(len(domain), domain.kind).replace(SPACE, " ")
        how = f"class folders, or {column_of_labels(domain)}"
        raise ValueError(f"{name} must have labels: {how}; it has {size} and no label")


def labeled_samples(name: str, domain: Domain) -> Domain:
    """The labelled samples of a domain."""
    check_labeled(name, domain)
    if not domain.labeled.all():
        log.warning("%s: %d samples without a label are left out", name, int((~domain.labeled).sum()))
        domain = domain.take(domain.labeled)
    return domain


def check_kinds(read: Mapping[str, Domain]) -> None:
    """`ValueError` if what was read is of several kinds."""
    kinds = {name: domain.kind for name, domain in read.items()}
    if len(set(kinds.values())) > 1:
        listing = ", ".join(f"{name} holds {KINDS.get(kind, (kind, kind))[1]}" for name, kind in kinds.items())
        raise ValueError(f"all inputs must be of one kind; {listing}")


def check_classes(
    read: Mapping[str, Domain], labeled: ClassSpace, apart: Mapping[str, tuple[str, ...]], *, described: bool
) -> None:
    """`ValueError` for classes that no method can learn or be graded on.

    Parameters
    ----------
    read : mapping of words to Domain
        Source, target and support, as far as they are given.
    labeled : ClassSpace
        The classes that have labelled samples.
    apart : mapping
        How these and the target's classes overlap; empty where the target has no labels.
    described : bool
        Whether classes without samples may be predicted, as a class file describes them.
    """
    if len(labeled) < 2 and not described:
        only = "source" if "source" in read else "support"
        detail = f"all {len(read.get(only, ()))} are of {labeled.names[0]!r}"
        raise ValueError(f"{only} must hold samples of at least two classes; {detail}")
    if apart and not apart["shared"] and not described:
        raise ValueError(
            f"target has no class in common with the labelled data: it has {some(apart['target_only'])}, they have "
            f"{some(apart['source_only'])}. Name classes alike, or describe the target's with classes="
        )


def check_samples(read: Mapping[str, Domain], contents: Mapping[str, Sequence[str]], *, distinct: bool) -> None:
    """`ValueError` for samples that no method can learn from or be graded on, before anything is encoded.

    Parameters
    ----------
    read : mapping of words to Domain
        Source, target and support, as far as they are given.
    contents : mapping of words to digests
        Of each of their samples.
    distinct : bool
        Whether the target must hold a sample that the source lacks.
    """
    for name, domain in read.items():
        _check_range(name, domain)
        if len(domain) > 2 and len(set(contents[name])) == 1:
            raise ValueError(f"{name} holds one and the same sample {len(domain)} times")
    both = "source" in read and "target" in read
    if distinct and both and set(contents["target"]) <= set(contents["source"]):
        detail = f"all {len(read['target'])} are in both"
        raise ValueError(f"target holds no sample that source lacks ({detail}): are they the same folder?")


def _check_range(name: str, domain: Domain) -> None:
    """`ValueError` for what is no number, and for numbers whose squares no method can add up."""
    if domain.kind != "features" or not len(domain):
        return
    if isinstance(domain.x, np.ndarray) and domain.x.ndim != 2:
        how = "x[:, None] makes a column of it" if domain.x.ndim == 1 else "x.reshape(len(x), -1) makes rows of it"
        raise ValueError(
            f"{name}: features must be a table (n, d); got shape {domain.x.shape}: {how}, or give its kind"
        )
    odd = np.argwhere(~np.isfinite(domain.x))
    if len(odd):
        assert domain.ids is not None
        (row, feature), rows = odd[0], len(np.unique(odd[:, 0]))
        others = f" ({rows} samples hold such)" if rows > 1 else ""
        sample, value = str(domain.ids[row]), domain.x[row, feature]
        raise ValueError(
            f"{name}: {_column(domain, feature)} of sample {sample!r} is {value}{others}; "
            "all must be finite numbers: fill it in, or leave the sample or the column out"
        )
    largest = np.abs(domain.x).max(axis=0).astype(np.float64)  # half precision knows no number like the largest
    worst = int(largest.argmax())
    if largest[worst] > LARGEST_NUMBER:
        raise ValueError(
            f"{name}: {_column(domain, worst)} holds numbers as large as {largest[worst]:.0e}; the most that can be "
            f"learnt from is {LARGEST_NUMBER:.0e}: divide it, take its logarithm, or leave it out"
        )


def _column(domain: Domain, feature: int) -> str:
    return f"column {domain.feature_names[feature]!r}" if domain.feature_names else f"feature {feature}"


def check_saved_to(out: str | os.PathLike[str]) -> None:
    """Refuse, before a fit, a place in which `Bundle.save` would not write its model after it.

    Raises
    ------
    ValueError
        If it is a file, or nothing can be written there.
    FileExistsError
        If it is a folder that holds something else, which would be lost.
    """
    check_place(Path(out))
    if not Path(out).exists():
        return
    from unseen.nn.state import refuse_foreign

    try:
        refuse_foreign(Path(out), ("bundle.json", "method", "encoder"))
    except FileExistsError as error:
        raise FileExistsError(f"out: {error}") from error
