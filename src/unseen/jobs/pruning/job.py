"""`unseen prune`: which of the user's image-text pairs to train on, as files for a loader and a page that shows it."""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from unseen import methods as registry
from unseen.curation.likeness import SamePicture
from unseen.curation.settings import tells_copies
from unseen.curation.uids import write_uids
from unseen.files import about, refuse_lost
from unseen.jobs.pruning.embeddings import Embeddings, read_embeddings
from unseen.methods.listing import of_kind
from unseen.methods.pruners import Pruner
from unseen.nn.concepts import BLANK, DUPLICATE, MEMBER, UNLIKE, Concepts, Selection, number
from unseen.nn.rows import Part
from unseen.runtime import replacing_files, reproducible, stage, stages
from unseen.strict_json import strict_json

log = logging.getLogger(__name__)

FILES = ("kept.parquet", "dropped.parquet", "concepts.parquet", "uids.npy", "report.html", "pruning.json")
"""What a folder of results holds; the last one is written last."""
WHY = {BLANK: "no embedding", UNLIKE: "similarity", DUPLICATE: "duplicate"}
"""Why a sample could not be chosen: its embedding has no direction, its caption is too unlike it, a near-duplicate
stayed."""
DEFAULT = "concept-pruning"
RULES = ("uniform", "ssp", "random", "similarity")
"""Rules of `simple-pruning`: each word stands for this method with it."""
PAPER = "dbp"
"""What `concept-pruning` is called in its paper: density-based pruning."""
ARGUMENTS = ("keep", "quality", "dedup", "n_clusters", "restarts", "random_state")
"""Hyperparameters of all that choose samples, which are arguments of `prune`."""


@dataclasses.dataclass(frozen=True, eq=False)
class Pruned:
    """What was chosen of the user's samples.

    Attributes
    ----------
    samples : Embeddings
    concepts : Concepts
    selection : Selection
    method : Pruner
        What chose.
    settings : mapping
        What was asked for.
    seconds : mapping
        Of each part of the work.
    """

    samples: Embeddings
    concepts: Concepts
    selection: Selection
    method: Pruner
    settings: Mapping[str, Any]
    seconds: Mapping[str, float]

    @property
    def reasons(self) -> NDArray[np.str_]:
        """``kept``, or why each sample was dropped, (n,): the counts add up to the samples."""
        words = np.array([{**WHY, MEMBER: self.method.reasons[1]}[fate] for fate in range(4)])
        return np.where(self.selection.mask, "kept", words[self.concepts.fates])

    def counts(self) -> dict[str, int]:
        """How many samples were kept, and dropped for each reason."""
        names, n = np.unique(self.reasons, return_counts=True)
        have = dict(zip(names.tolist(), n.tolist()))
        return {name: have.get(name, 0) for name in ("kept", *WHY.values(), self.method.reasons[1])}

    def table(self) -> pa.Table:
        """One row per concept, the most complex first: its size, its distances, what it was given and why."""
        chosen, k = self.selection, len(self.selection.sizes)
        columns: dict[str, Any] = {
            "concept": np.arange(k),
            "members": chosen.sizes,
            "kept": chosen.budgets,
            "dropped": chosen.sizes - chosen.budgets,
            "duplicates": np.bincount(chosen.clusters[self.concepts.fates == DUPLICATE], minlength=k),
            "unlike": np.bincount(chosen.clusters[self.concepts.fates == UNLIKE], minlength=k),
            "d_intra": chosen.d_intra,
            "d_inter": chosen.d_inter,
            "complexity": chosen.complexity,
            "share": chosen.probabilities,
        }
        if chosen.plan is not None:
            columns |= {"wanted": chosen.plan.wanted, "budget": chosen.plan.exact, "floor": chosen.plan.lower}
        order = np.argsort(-chosen.complexity, kind="stable")
        return pa.table({name: column[order] for name, column in columns.items()})

    def summary(self) -> dict[str, Any]:
        """What ``pruning.json`` holds, but for the settings."""
        chosen = self.selection
        record: dict[str, Any] = {
            "samples": len(self.samples.x),
            "counts": self.counts(),
            "concepts": int((chosen.sizes > 0).sum()),
            "temperature": chosen.temperature,
            "seconds": {name: round(value, 2) for name, value in self.seconds.items()},
        }
        if chosen.plan is not None:
            low, high = chosen.plan.at_bound.tolist()
            record |= {"share at lower bound": low, "share at upper bound": high}
        there = chosen.sizes > 0
        record["concepts kept whole"] = int((chosen.budgets[there] == chosen.sizes[there]).sum())
        return record


def prune(
    data: str | os.PathLike[str],
    *,
    keep: float = 0.3,
    method: str = DEFAULT,
    clusters: int | Literal["auto"] = "auto",
    dedup: float | None = 0.01,
    quality: float = 1.0,
    restarts: int = 0,
    settings: Mapping[str, Any] | None = None,
    encoder: str | None = None,
    column: str | None = None,
    precision: str = "auto",
    trust: bool = False,
    on_error: Literal["skip", "fail"] = "skip",
    without_tags: Sequence[str] = (),
    seed: int = 0,
    say: Callable[[str], None] = lambda line: None,
) -> Pruned:
    """Choose which samples to train on.

    Parameters
    ----------
    data : path
        As `unseen.jobs.pruning.embeddings.read_embeddings` takes it, with `encoder`, `column` and
        `without_tags`.
    keep : float
        A fraction in (0, 1] of all samples, or a number of them. A fraction that filter and deduplication do not leave
        keeps all that they leave, with a warning; a number is refused.
    method : str
        Slug of a method that chooses samples, one of `pruners`; or a rule of ``simple-pruning``.
    clusters : int or "auto"
        The square root of half the samples, 500 at most.
    dedup : float in [0, 2] or None
        Of samples of a cluster whose cosine is above 1 - dedup, one stays; 0 drops exact copies only, None nothing.
    quality : float in (0, 1]
        Share with the largest similarity of picture and caption that stays before all else.
    restarts : int
        Of k-means; 0: ten for little data, one for much.
    settings : mapping, optional
        Hyperparameters of the method.
    seed : int
    say : callable, optional
        Takes a line of what was read, before the work.

    Raises
    ------
    ValueError
        If something of this is out of range, has no effect with the method, or does not fit the data; the message says
        what.

    Notes
    -----
    Samples are taken in the order of their ids, so that the order of a file, and how it is cut into shards, changes
    nothing; without ids their order in the file counts.
    """
    _check(keep, clusters, dedup, quality, restarts)
    chooser = _chooser(method, settings or {}).set_params(
        quality=quality, dedup=dedup, n_clusters=0 if clusters == "auto" else clusters, restarts=restarts,
        random_state=seed,
    )  # fmt: skip
    with stages() as seconds, reproducible(seed):
        with stage("reading"):
            samples = read_embeddings(
                data, encoder=encoder, column=column, precision=precision, trust=trust, on_error=on_error,
                without_tags=without_tags, say=say,
            )  # fmt: skip
        n = number(keep, len(samples.x), "keep")
        scores = _scores(data, samples) if chooser.reads_similarity else None
        if clusters != "auto" and clusters > len(samples.x):
            raise ValueError(f"clusters must be at most {len(samples.x)}, the number of samples; got {clusters}")
        order = np.arange(len(samples.x)) if samples.ids.dtype.kind != "U" else np.argsort(samples.ids, kind="stable")
        sorted_ = (np.diff(order) == 1).all()
        same = None if column == "text" else _pixels(samples)
        with stage("concepts"):
            concepts = chooser.find(
                samples.x if sorted_ else Part(samples.x, order),
                None if scores is None else scores[order],
                same=None if same is None else lambda first, other: same(order[first], order[other]),
            )
        n = _left(n, keep, len(concepts.members))
        with stage("selection"):
            chosen = chooser.choose(concepts, n)
        if not sorted_:
            concepts, chosen = _in_file_order(concepts, chosen, order)
    if blank := int((concepts.fates == BLANK).sum()):
        log.warning("%d samples are dropped for their embeddings: they are zero, or too long for float32", blank)
    params = {name: value for name, value in chooser.get_params().items() if name not in ARGUMENTS}
    record = dict(keep=keep, method=chooser.card.slug, clusters=clusters, dedup=dedup, quality=quality)
    record |= {**params, "encoder": samples.encoder, "seed": seed}
    if same is not None and dedup is not None:
        record["confirmed"] = "pixels"
    return Pruned(samples, concepts, chosen, chooser, record, dict(seconds))


def pruners() -> tuple[str, ...]:
    """All methods that choose samples to train on, by slug, those of other packages, too."""
    return of_kind(Pruner, "target")


def _chooser(method: str, settings: Mapping[str, Any]) -> Pruner:
    """The method with its settings; `ValueError` for one that chooses no samples, and for a setting without effect."""
    rule: dict[str, Any] = {"rule": method} if method in RULES else {}
    slug = "simple-pruning" if rule else "concept-pruning" if method == PAPER else method
    kind = registry.get(slug) if slug in registry.slugs() else None
    if kind is None or not issubclass(kind, Pruner):
        raise ValueError(f"method must be one of {', '.join((*pruners(), *RULES))}; got {method!r}")
    if twice := [name for name in (*ARGUMENTS, *rule) if name in settings]:
        raise ValueError(f"settings must not hold {twice[0]}, which another argument says; got {settings[twice[0]]!r}")
    takes = [name for name in kind().get_params() if name not in (*ARGUMENTS, *rule)]
    if unknown := next((name for name in settings if name not in takes), None):
        raise ValueError(f"{unknown}: {method} takes none; what can be set of it is {', '.join(takes) or 'nothing'}")
    chooser = kind(**settings, **rule)
    chooser.check(settings)
    return chooser


def _check(keep: float, clusters: Any, dedup: float | None, quality: float, restarts: int) -> None:
    """`ValueError` for what is out of range, before anything is read."""
    number(keep, 2**62, "keep")
    tests = (
        ("clusters", clusters, clusters == "auto" or clusters >= 1, "auto or at least 1"),
        ("dedup", dedup, dedup is None or 0 <= dedup <= 2, "in [0, 2], or off"),
        ("quality", quality, 0 < quality <= 1, "in (0, 1]"),
        ("restarts", restarts, restarts >= 0, "at least 0"),
    )
    for name, value, good, expected in tests:
        if not good:
            raise ValueError(f"{name} must be {expected}; got {value!r}")


def _scores(data: str | os.PathLike[str], samples: Embeddings) -> NDArray[np.float64]:
    """The similarity of every sample; `ValueError` where there is none."""
    if samples.similarity is None:
        raise ValueError(
            f"{data} has no similarity of pictures and captions, which method=similarity and `quality` need"
        )
    missing = ~np.isfinite(samples.similarity)
    if missing.any():
        raise ValueError(
            f"{data}: the similarity is missing for {int(missing.sum())} of {len(missing)} samples, first for row "
            f"{int(missing.argmax()) + 1}; method=similarity and `quality` need it for all"
        )
    return samples.similarity


def _pixels(samples: Embeddings) -> SamePicture | None:
    """What confirms duplicates by pixels, where there are pictures and cosines of their encoder do not tell copies."""
    if samples.picture is None or not samples.encoder or tells_copies(samples.encoder):
        return None
    return SamePicture(samples.picture)


def _in_file_order(concepts: Concepts, chosen: Selection, order: NDArray[np.intp]) -> tuple[Concepts, Selection]:
    """What was found for the samples `order`, for the samples as the file has them."""
    back = np.argsort(order)
    similarity = None if concepts.similarity is None else concepts.similarity[back]
    concepts = dataclasses.replace(
        concepts,
        labels=concepts.labels[back],
        distances=concepts.distances[back],
        fates=concepts.fates[back],
        similarity=similarity,
    )
    return concepts, dataclasses.replace(chosen, indices=np.sort(order[chosen.indices]), clusters=concepts.labels)


def _left(n: int, keep: float, members: int) -> int:
    """How many are kept where filter and deduplication leave `members`."""
    if n <= members:
        return n
    if keep > 1:
        raise ValueError(
            f"keep={int(keep)} is more than the {members} samples that the quality filter and deduplication leave"
        )
    log.warning(
        "the quality filter and deduplication leave %d samples, fewer than keep= asks for: all are kept", members
    )
    return members


# -- files -------------------------------------------------------------------------------------------------


def check_out(out: str | os.PathLike[str], data: str | os.PathLike[str] | None = None) -> None:
    """Refuse `out`, before any work is done for it, if it is a file, the folder of the data, or of other results.

    Raises
    ------
    ValueError
        If it is a file, or the folder of the data.
    FileExistsError
        If it holds files of the names that are written here (`FILES`) and not by an earlier run.
    """
    if data is not None and Path(out).resolve() == Path(data).resolve():
        raise ValueError(f"out must be another folder than that of the data; got {os.fspath(out)!r} for both")
    if Path(out).exists() and not Path(out).is_dir():
        raise ValueError(f"out must be a folder; {out} is a file")
    refuse_lost(Path(out), FILES, FILES[-1])


def write(result: Pruned, out: str | os.PathLike[str], *, pictures: bool = True, command: str = "") -> dict[str, Any]:
    """Write what was found to a folder, and return what ``pruning.json`` holds.

    ``kept.parquet`` and ``dropped.parquet`` (id, concept, distance, reason; together every sample once),
    ``concepts.parquet``, ``uids.npy`` in DataComp's format where samples have uids, ``report.html``, and
    ``pruning.json``. They take the place of those of an earlier run all at once, so that a full disk or a kill leaves
    an earlier result as it was. Files of other names stay.

    Raises
    ------
    ValueError, FileExistsError
        As in `check_out`.
    OSError
        If something cannot be written.
    """
    from unseen.jobs.pruning import page as report

    check_out(out)
    folder = Path(out)
    record = {**result.summary(), "settings": dict(result.settings), "command": command}
    jobs: dict[str, Callable[[Path], Any]] = {
        "kept.parquet": lambda file: pq.write_table(_rows(result, result.selection.mask), file),
        "dropped.parquet": lambda file: pq.write_table(_rows(result, ~result.selection.mask), file),
        "concepts.parquet": lambda file: pq.write_table(result.table(), file),
        "report.html": lambda file: file.write_bytes(report.page(_shown(result, record, pictures))),
        "pruning.json": lambda file: file.write_text(strict_json(record, str) + "\n", encoding="utf-8"),
    }
    if result.samples.has_uids:
        ids = result.samples.ids[result.selection.indices]
        jobs["uids.npy"] = lambda file: write_uids(file, ids.tolist())
    elif not result.samples.encoder:  # pictures of a folder are called as their files are, and nobody expects uids
        log.warning("uids.npy is left out: %s", result.samples.no_uids)
    with replacing_files(folder, FILES) as part:
        for name, job in jobs.items():
            with about(folder / name):
                job(part / name)
    return record


def _rows(result: Pruned, which: NDArray[np.bool_]) -> pa.Table:
    at = np.flatnonzero(which)
    reasons = result.reasons[at]
    if reasons.size and (reasons == "kept").all():
        reasons = np.repeat(result.method.reasons[0], len(at))
    ids = result.samples.ids[at]
    if ids.dtype.kind in "UO":  # names of files need not be text
        ids = np.array([str(name).encode("utf-8", "backslashreplace").decode() for name in ids], dtype=np.str_)
    return pa.table(
        {
            "id": ids,
            "row": at,
            "concept": result.concepts.labels[at],
            "distance": result.concepts.distances[at],
            "reason": pa.array(reasons, pa.string()).dictionary_encode(),
        }
    )


def _shown(result: Pruned, record: dict[str, Any], pictures: bool) -> Any:
    """What the page shows; thumbnails are made of a few samples of some concepts."""
    from unseen.jobs.pruning.page import SHOWN, Concept, Sample, Shown

    chosen, assigned = result.selection, result.concepts
    table = result.table().to_pylist()
    half = SHOWN // 2
    picked = table if len(table) <= SHOWN else table[:half] + table[-half:]
    mask = chosen.mask
    concepts = []
    for row in picked:
        mine = np.flatnonzero((chosen.clusters == row["concept"]) & (assigned.fates == MEMBER))
        mine = mine[np.argsort(-assigned.distances[mine], kind="stable")]
        groups = {
            name: tuple(Sample(*_sample(result, int(i), pictures)) for i in _spread(mine[mask[mine] == kept]))
            for name, kept in (("kept", True), ("dropped", False))
        }
        concepts.append(Concept(row, groups["kept"], groups["dropped"]))
    return Shown(
        result.samples.name, record, table, tuple(concepts), chosen.plan, chosen.sizes, chosen.budgets,
        result.method.explanation,
    )  # fmt: skip


def _spread(rows: NDArray[np.intp], most: int = 8) -> NDArray[np.intp]:
    """At most so many of the rows, evenly from the first to the last."""
    return rows if len(rows) <= most else rows[np.linspace(0, len(rows) - 1, most).round().astype(int)]


def _sample(result: Pruned, i: int, pictures: bool) -> tuple[str, str, float, bytes | None]:
    from unseen.data.images import thumbnail

    samples = result.samples
    jpeg = None
    if pictures and samples.picture is not None:
        try:
            jpeg = thumbnail(samples.picture(i), 88)
        except (ValueError, OSError) as error:
            log.warning("the picture of %s cannot be shown: %s", samples.ids[i], error)
    text = "" if samples.texts is None else str(samples.texts[i] or "")
    return str(samples.ids[i]), text[:120], float(result.concepts.distances[i]), jpeg
