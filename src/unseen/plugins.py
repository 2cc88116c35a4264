"""What other packages add: methods, claims, encoders, validators and loaders, by entry points."""

from __future__ import annotations

import functools
import importlib.metadata
import logging
from collections.abc import Mapping
from typing import Any, Literal

log = logging.getLogger(__name__)

Group = Literal["methods", "claims", "encoders", "validators", "loaders"]


@functools.cache
def found(group: Group) -> Mapping[str, importlib.metadata.EntryPoint]:
    """Entry points of ``unseen.<group>`` in the installed packages, by name; of two with one name the first counts."""
    out: dict[str, importlib.metadata.EntryPoint] = {}
    for entry in importlib.metadata.entry_points(group=f"unseen.{group}"):
        if entry.name in out:
            log.warning(
                "%s is left out: %s has the name %r already", _owner(entry), _owner(out[entry.name]), entry.name
            )
        else:
            out[entry.name] = entry
    return out


def load(group: Group, name: str) -> Any:
    """The object behind an entry point; `ImportError` names the package that is broken."""
    entry = found(group)[name]
    try:
        return entry.load()
    except Exception as error:  # whatever a foreign module raises while it is imported
        raise ImportError(f"{_owner(entry)} does not load as {entry.group} {name!r}: {error}") from error


def _owner(entry: importlib.metadata.EntryPoint) -> str:
    return f"package {entry.dist.name if entry.dist else entry.value!r}"
