"""Verified samples are sealed: their answers are kept on this machine, by content, and never trained on."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from unseen.data.domain import Domain
from unseen.evaluation.exam import ledger_file, locked
from unseen.files import read_object
from unseen.runtime import replacing

log = logging.getLogger(__name__)


def seals_file() -> Path:
    """Where answers are kept: beside the count of openings of exams."""
    return ledger_file().with_name("verified.json")


def seal(answers: Mapping[str, str | None]) -> int:
    """Keep answers by the digest of what was looked at, and return how many are new; a later answer replaces one.

    Parameters
    ----------
    answers : {digest: class name, or None for none of these}
    """
    file = seals_file()
    with locked(file):
        kept = sealed()
        fresh = len(set(answers) - set(kept))
        with replacing(file) as temporary:
            temporary.write_text(json.dumps(kept | dict(answers), indent=0, ensure_ascii=False), encoding="utf-8")
    return fresh


def sealed() -> dict[str, str | None]:
    """All answers on this machine, by digest.

    Raises
    ------
    ValueError
        If the file is damaged.
    """
    file = seals_file()
    if not file.exists():
        return {}
    try:
        return {str(key): value for key, value in read_object(file).items()}
    except (ValueError, AttributeError) as error:
        raise ValueError(f"{file}, the answers of `unseen verify`, is damaged ({error}); move it away") from error


def sealed_ids(domain: Domain) -> frozenset[str]:
    """Ids of the rows of a table that somebody verified, by their content before its columns are put in an order.

    None of samples without names of features: their content is what it was.
    """
    kept = sealed()
    if not kept or domain.ids is None or not domain.feature_names:
        return frozenset()
    return frozenset(map(str, domain.ids[np.isin(domain.digests(), list(kept))]))


def without_sealed(name: str, domain: Domain, ids: frozenset[str] = frozenset()) -> Domain:
    """The samples that nobody verified; a warning says how many are left out of `name`.

    Parameters
    ----------
    ids : strings
        Others that were verified (`sealed_ids`).

    Raises
    ------
    ValueError
        If none is left.
    """
    kept = sealed()
    out = np.isin(domain.digests(), list(kept)) if kept else np.zeros(len(domain), dtype=bool)
    if ids and domain.ids is not None:
        out |= np.array([str(identity) in ids for identity in domain.ids.tolist()])
    if not out.any():
        return domain
    if out.all():
        raise ValueError(f"{name} must hold samples that were not verified; all {len(domain)} were, and they grade")
    log.warning(
        "%s: %d of %d samples were verified with `unseen verify`; they grade, so they are left out of learning",
        name, int(out.sum()), len(domain),
    )  # fmt: skip
    return domain.take(~out)
