"""Stamps: what a system gives on standard inputs and which data its claim reads, as digests that take seconds.

Equal stamps mean that recorded figures are still those of the system that is there, however its files changed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import importlib
import json
import logging
import platform
import types
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL.Image import Image

from unseen import claims, methods
from unseen.claims import known_drawings
from unseen.claims.base import Claim, Experiment
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain, Lazy
from unseen.data.sources import SourceUnavailable
from unseen.methods.base import Method
from unseen.runtime import limited_threads
from unseen.testing.answers import answer_of, outputs
from unseen.testing.inputs import cases

log = logging.getLogger(__name__)

DIGITS = 3
"""Decimals of numbers relative to the largest of their array: bits that differ between builds do not count."""
FEW, LONG = 6, 2000
"""Pictures of a drawn domain that are looked at; numbers of an array above which a digest stands for them."""
SOMETIMES = ("data ", "drawn ", "behaviour ", "rival ")
"""How parts begin that a stamp may be without: what they are of cannot be had everywhere, or was not looked at yet."""


def processor() -> str:
    """The type of this processor, as far as its results differ: architecture, maker, widest instructions."""
    maker = ""
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        maker = next((line.partition(":")[2].strip() for line in lines if line.startswith("vendor_id")), "")
    return " ".join(filter(None, [platform.machine(), maker, torch.backends.cpu.get_cpu_capability()]))


@limited_threads()
def stamp_of(slug: str) -> dict[str, str]:
    """The stamp of a system: a digest for its settings, each standard fit, each case's data, each further behaviour,
    for what every other method that its claim names gives (a rival that changed moves the evidence, too), and for what
    one cell of each experiment draws: worlds that are laid out of the data, splits, and what is simulated from a seed.

    All of it is computed on the runtime's threads.

    Parameters
    ----------
    slug : str
        A system with a claim.

    Returns
    -------
    dict of str to str
        What was looked at, to 12 hex digits; data, what is drawn of them, or an extra, that cannot be had here has no
        entry.
    """
    return {part: digest_of(value)[:12] for part, value in _looked_at(slug)}


def _looked_at(slug: str) -> Iterator[tuple[str, Any]]:
    claim, card = claims.get(slug), methods.card(slug)
    if card.kind == "method":
        method: type[Method] = methods.get(slug)
        yield "settings", _exact({"defaults": method().get_params(), **card.presets})
        for way in cases(method):
            yield f"fit {way}", outputs(way.make().fit(**way.inputs()), answer_of(way.method).samples(way))
    if claim.behaviour is not None:
        try:
            yield from ((f"behaviour {name}", value) for name, value in claim.behaviour().items())
        except ImportError as error:
            log.info("%s: its behaviour cannot be looked at here: %s", slug, error)
    yield from ((f"rival {rival}", _given_by(rival)) for rival in rivals(slug))
    for name, experiment in claim.experiments.items():
        if experiment.data is None:
            continue
        for case in experiment.confirmation:
            try:
                yield _data(name, case), _fingerprints(experiment, case)
            except (SourceUnavailable, ImportError) as error:
                log.info("%s: the data of %s are not at hand: %s", slug, case, error)
    worlds: dict[Any, Any] = {}  # which experiments of a claim share
    for name, experiment in claim.experiments.items():
        if not callable(experiment.drawn) or not experiment.confirmation:
            continue
        case, seed = experiment.confirmation[0], experiment.fresh_seeds[0]
        try:
            if (key := (experiment.drawn, case, seed)) not in worlds:
                worlds[key] = handful(experiment.drawn(case, seed))
            yield _drawn(name, case), worlds[key]
        except (SourceUnavailable, ImportError) as error:
            log.info("%s: what %s draws of %s is not at hand: %s", slug, name, case, error)


def rivals(slug: str) -> list[str]:
    """The other methods that the modules of a claim name, by their slugs."""
    slugs: set[str] = set()
    seen: set[str] = set()
    waiting = [claims.module(slug)]
    while waiting:
        name = waiting.pop()
        seen.add(name)
        for value in vars(importlib.import_module(name)).values():
            if isinstance(value, type) and issubclass(value, Method) and vars(value).get("card"):
                slugs.add(value.card.slug)
            home = value.__name__ if isinstance(value, types.ModuleType) else getattr(value, "__module__", None)
            if isinstance(home, str) and home.startswith("unseen.claims.") and home not in seen:
                waiting.append(home)
    return sorted(slugs - {slug})


@functools.cache
def _given_by(slug: str) -> str:
    """A digest of a method's settings and of what it gives on all standard inputs; kept, since claims share rivals."""
    method: type[Method] = methods.get(slug)
    answers: dict[str, Any] = {"defaults": _exact(method().get_params())}
    for way in cases(method):
        answers[str(way)] = outputs(way.make().fit(**way.inputs()), answer_of(way.method).samples(way))
    return digest_of(answers)


def _data(experiment: str, case: str) -> str:
    """What a stamp calls the data of a case."""
    return f"data {experiment}: {case}"


def _drawn(experiment: str, case: str) -> str:
    """What a stamp calls that which a cell draws of a case."""
    return f"drawn {experiment}: {case}"


BY_CASE = (_data, _drawn)


def data_of(claim: Claim, names: Iterable[str]) -> dict[str, str]:
    """Digests of what the confirmation cases of some experiments read, by what a stamp calls them; for a record."""
    return {
        _data(name, case): digest_of(_fingerprints(experiment, case))[:12]
        for name in names
        if (experiment := claim.experiments[name]).data is not None
        for case in experiment.confirmation
    }


def _fingerprints(experiment: Experiment, case: str) -> list[str]:
    """Of the domains that a case reads, in an order of their own."""
    return sorted(map(_fingerprint, experiment.data(case))) if experiment.data is not None else []


def read_before(claim: Claim, name: str, opened: Iterable[Mapping[str, str]]) -> list[str]:
    """Confirmation cases of an experiment whose samples are those of an opened case, or of development.

    `opened` are stamps, which know the cases that the claim has, and what records say of the data that they read.
    Not told of halves, of which no sample is asked about twice, nor where what was read may be `reused`.
    """
    experiment = claim.experiments[name]
    if experiment.data is None or experiment.halves:
        return []
    known = {digest for digests in opened for what, digest in digests.items() if what.startswith("data ")}
    known |= {digest_of(_fingerprints(experiment, case))[:12] for case in experiment.development}
    asked = [case for case in experiment.confirmation if case not in experiment.reused]
    return [case for case in asked if digest_of(_fingerprints(experiment, case))[:12] in known]


@functools.lru_cache(maxsize=512)
def _fingerprint(domain: Domain) -> str:
    """Of a domain with its labels; kept, since claims and cases share what they read."""
    return known_drawings.fingerprint(domain)


def digest_of(value: Any) -> str:
    """SHA-256 of values in which numbers are rounded to `DIGITS` decimals of the largest of their array."""
    return hashlib.sha256(json.dumps(_plain(value), sort_keys=True).encode()).hexdigest()


def _exact(settings: Any) -> Any:
    """Settings with their numbers as words: those that nobody computes are not rounded, .9996 is not .9998."""
    if isinstance(settings, Mapping):
        return {name: _exact(value) for name, value in settings.items()}
    if isinstance(settings, (list, tuple)):
        return [_exact(value) for value in settings]
    return f"{settings:.12g}" if isinstance(settings, float) else settings


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (torch.Tensor, np.ndarray)):
        return _rounded(np.asarray(value))
    if isinstance(value, (float, np.floating)):
        return f"{value:.{DIGITS}g}"
    return value.item() if isinstance(value, np.generic) else value


def handful(value: Any) -> Any:
    """What is drawn as values for `digest_of`: all numbers, labels and texts of it, but few of its pictures.

    Of arrays, class spaces, domains and whatever holds them (mappings, sequences, dataclasses); `TypeError` for what
    else there is. Arrays of more than `LONG` numbers stand there by a digest of their own, rounded likewise.
    """
    if isinstance(value, Domain):
        rows = np.unique(np.linspace(0, len(value) - 1, min(FEW, len(value))).astype(int)).tolist()
        x = [value.x[i] for i in rows] if isinstance(value.x, Lazy) else value.x
        said = {"n": len(value), "x": x, "y": value.y, "columns": value.columns, "classes": value.classes}
        return handful({**said, "kind": value.kind, "task": value.task})
    if isinstance(value, ClassSpace):
        fields = ("names", "descriptions", "attributes", "attribute_names", "embeddings", "seen")
        return handful({key: getattr(value, key) for key in fields})
    if isinstance(value, Mapping):
        return {str(key): handful(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, Lazy)):
        return [handful(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(map(str, value))
    if isinstance(value, (torch.Tensor, np.ndarray, Image)):
        return _shortened(np.asarray(value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return handful({field.name: getattr(value, field.name) for field in dataclasses.fields(value)})
    if value is None or isinstance(value, (str, bool, int, float, np.generic)):
        return value
    raise TypeError(f"what is drawn must be domains, arrays, texts or numbers; got {type(value).__name__}")


def _shortened(array: np.ndarray) -> Any:
    if array.dtype.kind == "O":
        return [handful(item) for item in array.tolist()]
    if array.size <= LONG or array.dtype.kind not in "fbiu":
        return array
    if array.dtype.kind == "f":
        scale, numbers = _to_scale(array)
        whole = np.nan_to_num(numbers * 10**DIGITS, nan=1e9, posinf=2e9, neginf=-2e9)
        return [list(array.shape), scale, hashlib.sha256(np.rint(whole).astype("<i8").tobytes()).hexdigest()]
    return [list(array.shape), hashlib.sha256(array.astype("<i8").tobytes()).hexdigest()]


def _rounded(array: np.ndarray) -> Any:
    if array.dtype.kind != "f":
        return array.tolist()
    scale, numbers = _to_scale(array)
    return [scale, numbers.tolist()]


def _to_scale(array: np.ndarray) -> tuple[str, np.ndarray]:
    """The largest number of an array, and all of them as rounded shares of it."""
    finite = np.abs(array[np.isfinite(array)])
    scale = float(finite.max()) if finite.size and finite.max() > 0 else 1.0
    return f"{scale:.2g}", np.round(array / scale, DIGITS) + 0.0  # + 0.0: no minus zero


# -- files -------------------------------------------------------------------------------------------------


def _file(folder: Path, slug: str) -> Path:
    return folder / f"{slug}.stamp.json"


def read_stamps(folder: Path, slug: str) -> dict[str, dict[str, str]]:
    """The stamps beside the evidence, by type of processor."""
    file = _file(folder, slug)
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def read_stamp(folder: Path, slug: str) -> dict[str, str] | None:
    """The stamp that this type of processor left beside the evidence; None without one."""
    return read_stamps(folder, slug).get(processor())


def on_other_data(folder: Path, slug: str, cells: Mapping[str, str]) -> list[str]:
    """Experiments whose case, by name in `cells`, reads other data here than wherever the evidence was stamped.

    An index of packages moves on, for example; and features, where a claim reads such, differ in bits between types of
    processors. Figures on other data say nothing of the system.
    """
    stamps = read_stamps(folder, slug).values()
    moved = []
    for name, case in cells.items():
        data = claims.get(slug).experiments[name].data
        known = {stamp[what] for stamp in stamps if (what := _data(name, case)) in stamp}
        if data is not None and known:
            with contextlib.suppress(SourceUnavailable, ImportError):
                if digest_of(sorted(map(_fingerprint, data(case))))[:12] not in known:
                    moved.append(name)
    return moved


def write_stamp(folder: Path, slug: str, stamp: Mapping[str, str]) -> None:
    """Keep the stamp of this type of processor; those of others stay, but for cases that the claim has no more."""
    file = _file(folder, slug)
    experiments = claims.get(slug).experiments.items()
    cases = {of(name, case) for name, experiment in experiments for case in experiment.confirmation for of in BY_CASE}
    have = {
        other: {
            part: digest for part, digest in of.items() if not part.startswith(("data ", "drawn ")) or part in cases
        }
        for other, of in read_stamps(folder, slug).items()
    }
    temporary = file.with_name(f".{file.name}.tmp")
    temporary.write_text(json.dumps(have | {processor(): dict(stamp)}, indent=1, ensure_ascii=False) + "\n")
    temporary.replace(file)


def moved_parts(recorded: Mapping[str, str], stamp: Mapping[str, str]) -> tuple[str, ...]:
    """What a recorded stamp and today's both looked at and found different, or only one of them looked at.

    What could not be had here, or when the stamp was recorded, is no difference (`SOMETIMES`): data, behaviour without
    its extras, rivals and what is drawn, which the oldest stamps are without.
    """
    both = recorded.keys() | stamp.keys()
    return tuple(
        sorted(
            part
            for part in both
            if recorded.get(part) != stamp.get(part)
            and (not part.startswith(SOMETIMES) or (part in recorded and part in stamp))
        )
    )
