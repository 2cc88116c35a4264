"""Fingerprints of drawings by what they are drawn from: what the same library drew once is not all drawn again.

Beside this file stand, by SHA-256 of their causes (each drawing, its size, the library's and our code that draws it),
the fingerprints of the domains that stamps read, and the digests of a few pictures of each source. These few are drawn
each time; where one is another, or a cause is not known, all are drawn. So a changed drawing, size, library or code is
noticed. What is not: a processor on which the same library draws some pictures otherwise, but none of these few.

``UNSEEN_CACHE=$(mktemp -d) python -m unseen.claims.known_drawings`` draws everything and writes the file anew.
"""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from unseen import claims
from unseen.data.domain import Domain
from unseen.data.sources import SourceUnavailable
from unseen.data.sources.undrawn import Drawings, NotDrawnError, put_off, undrawn

log = logging.getLogger(__name__)

FILE = Path(__file__).with_suffix(".json")


def fingerprint(domain: Domain) -> str:
    """The fingerprint of a domain with its labels; where drawings are put off, as few are drawn as will tell it."""
    if not put_off():
        return domain.fingerprint(labels=True)
    try:
        with undrawn("refuse"):
            return domain.fingerprint(labels=True)
    except NotDrawnError:
        cause, asked = _cause(domain)
        known = _known(FILE)["domains"].get(cause)
        return known if known and all(map(_as_it_was, asked)) else domain.fingerprint(labels=True)


def record(file: Path = FILE) -> None:
    """Draw what all stamps read, and write what came out of which causes."""
    domains: dict[str, str] = {}
    samples: dict[str, str] = {}
    with undrawn():
        for domain in _read_by_stamps():
            cause, asked = _cause(domain)
            if asked and cause not in domains:
                domains[cause] = domain.fingerprint(labels=True)
                for drawings in asked:
                    samples |= drawings.sample()
    table = {"domains": dict(sorted(domains.items())), "samples": dict(sorted(samples.items()))}
    file.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


def _read_by_stamps() -> Iterator[Domain]:
    for slug in claims.slugs():
        for experiment in claims.get(slug).experiments.values():
            for case in experiment.confirmation if experiment.data is not None else ():
                try:
                    yield from experiment.data(case)  # type: ignore[misc]
                except (SourceUnavailable, ImportError) as error:
                    log.info("%s: the data of %s are not at hand: %s", slug, case, error)


def _cause(domain: Domain) -> tuple[str, list[Drawings]]:
    """The fingerprint that a domain has if each drawing is its causes, and the drawings in it."""
    with undrawn("cause") as asked:
        return domain.fingerprint(labels=True), asked


@functools.cache
def _known(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {"domains": {}, "samples": {}}


@functools.cache
def _as_it_was(drawings: Drawings) -> bool:
    """Whether a few pictures, drawn now, are what they were."""
    known = _known(FILE)["samples"]
    same = all(known.get(cause) == digest for cause, digest in drawings.sample().items())
    if not same:
        log.warning("%s: drawings are not what they were: all are drawn anew", drawings.folder.name)
    return same


if __name__ == "__main__":
    record()
