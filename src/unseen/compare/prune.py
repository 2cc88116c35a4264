"""`unseen prune`: which of the user's image-text pairs to train on, as files for a loader and a page that shows it."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from unseen.compare.embeddings import Embeddings, read_embeddings
from unseen.curation.uids import write_uids
from unseen.methods.curation.concept_pruning import DUPLICATE, MEMBER, RULES, UNLIKE, Concepts, Selection, find_concepts
from unseen.methods.curation.concept_pruning.selection import Pick, Rule, number
from unseen.runtime import replacing, reproducible, stage, stages

log = logging.getLogger(__name__)

WHY = {UNLIKE: "similarity", DUPLICATE: "duplicate", MEMBER: "budget"}
"""Why a sample was dropped: its caption is too unlike it, a near-duplicate stayed, or its concept's budget was full."""


@dataclasses.dataclass(frozen=True, eq=False)
class Pruned:
    """What was chosen of the user's samples.

    Attributes
    ----------
    samples : Embeddings
    concepts : Concepts
    selection : Selection
    settings : mapping
        What was asked for.
    seconds : mapping
        Of each part of the work.
    """

    samples: Embeddings
    concepts: Concepts
    selection: Selection
    settings: Mapping[str, Any]
    seconds: Mapping[str, float]

    @property
    def reasons(self) -> NDArray[np.str_]:
        """``kept``, or why each sample was dropped, (n,): the counts add up to the samples."""
        words = np.array([WHY[fate] for fate in range(3)])[self.concepts.fates]
        return np.where(self.selection.mask, "kept", words)

    def counts(self) -> dict[str, int]:
        """How many samples were kept, and dropped for each reason."""
        names, n = np.unique(self.reasons, return_counts=True)
        have = dict(zip(names.tolist(), n.tolist()))
        return {name: have.get(name, 0) for name in ("kept", *WHY.values())}

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
        found: dict[str, Any] = {
            "samples": len(self.samples.x),
            "counts": self.counts(),
            "concepts": int((chosen.sizes > 0).sum()),
            "temperature": chosen.temperature,
            "seconds": {name: round(value, 2) for name, value in self.seconds.items()},
        }
        if chosen.plan is not None:
            low, high = chosen.plan.at_bound.tolist()
            found |= {"share at lower bound": low, "share at upper bound": high}
        return found


def prune(
    data: str | os.PathLike[str],
    *,
    keep: float = 0.3,
    method: Rule = "dbp",
    clusters: int | Literal["auto"] = "auto",
    dedup: float | None = 0.01,
    quality: float = 1.0,
    temperature: float | Literal["auto"] = "auto",
    neighbours: int = 20,
    floor: float = 0.0,
    pick: Pick = "hardest",
    restarts: int = 0,
    encoder: str | None = None,
    column: str | None = None,
    precision: str = "auto",
    trust: bool = False,
    on_error: Literal["skip", "fail"] = "skip",
    seed: int = 0,
) -> Pruned:
    """Choose which samples to train on.

    Parameters
    ----------
    data : path
        As `unseen.compare.embeddings.read_embeddings` takes it, with `encoder` and `column`.
    keep : float
        A fraction in (0, 1] of all samples, or a number of them. A fraction that filter and deduplication do not leave
        keeps all that they leave, with a warning; a number is refused.
    method : {"dbp", "ssp", "random", "uniform", "similarity"}
        Budgets by complexity, or what they are compared with: the hardest of all, any, equal budgets, the most
        similar to their captions.
    clusters : int or "auto"
        The square root of half the samples, 500 at most.
    dedup : float in [0, 2] or None
        Of samples of a cluster whose cosine is above 1 - dedup, one stays.
    quality : float in (0, 1]
        Share with the largest similarity of picture and caption that stays before all else.
    temperature, neighbours, floor, pick, restarts
        As in `unseen.methods.curation.concept_pruning.ConceptPruning`.
    seed : int

    Raises
    ------
    ValueError
        If something of this is out of range or does not fit the data; the message says what.
    """
    _check(keep, method, clusters, dedup, quality, temperature, neighbours, floor, pick)
    with stages() as seconds, reproducible(seed):
        with stage("reading"):
            samples = read_embeddings(
                data, encoder=encoder, column=column, precision=precision, trust=trust, on_error=on_error
            )
        n = number(keep, len(samples.x), "--keep")
        if samples.similarity is None and (method == "similarity" or quality < 1):
            raise ValueError(
                f"{data} has no similarity of pictures and captions, which --method similarity and --quality need"
            )
        if clusters != "auto" and clusters > len(samples.x):
            raise ValueError(f"--clusters must be at most {len(samples.x)}, the number of samples; got {clusters}")
        with stage("concepts"):
            found = find_concepts(
                samples.x,
                similarity=samples.similarity,
                quality=quality,
                dedup=dedup,
                n_clusters=0 if clusters == "auto" else clusters,
                restarts=restarts,
                random_state=seed,
            )
        n = _left(n, keep, len(found.members))
        with stage("selection"):
            chosen = found.select(
                n,
                rule=method,
                temperature=temperature,
                neighbours=neighbours,
                floor=floor,
                pick=pick,
                random_state=seed,
            )
    settings = dict(
        keep=keep, method=method, clusters=clusters, dedup=dedup, quality=quality, temperature=temperature,
        neighbours=neighbours, floor=floor, pick=pick, encoder=samples.encoder, seed=seed,
    )  # fmt: skip
    return Pruned(samples, found, chosen, settings, dict(seconds))


def _check(
    keep: float, method: str, clusters: Any, dedup: float | None, quality: float, temperature: Any, neighbours: int,
    floor: float, pick: str,
) -> None:  # fmt: skip
    """`ValueError` for what is out of range, before anything is read."""
    number(keep, 2**62, "--keep")
    tests = (
        ("--method", method, method in RULES, f"one of {', '.join(RULES)}"),
        ("--pick", pick, pick in ("hardest", "easiest", "random"), "hardest, easiest or random"),
        ("--clusters", clusters, clusters == "auto" or clusters >= 1, "auto or at least 1"),
        ("--dedup", dedup, dedup is None or 0 <= dedup <= 2, "in [0, 2]"),
        ("--quality", quality, 0 < quality <= 1, "in (0, 1]"),
        ("--temperature", temperature, temperature == "auto" or 0 < temperature < np.inf, "auto or above 0"),
        ("--neighbours", neighbours, neighbours >= 1, "at least 1"),
        ("--floor", floor, 0 <= floor <= 1, "in [0, 1]"),
    )
    for name, value, good, expected in tests:
        if not good:
            raise ValueError(f"{name} must be {expected}; got {value!r}")


def _left(n: int, keep: float, members: int) -> int:
    """How many are kept where filter and deduplication leave `members`."""
    if n <= members:
        return n
    if keep > 1:
        raise ValueError(
            f"--keep {int(keep)} is more than the {members} samples that the quality filter and deduplication leave"
        )
    log.warning(
        "the quality filter and deduplication leave %d samples, fewer than --keep asks for: all are kept", members
    )
    return members


# -- files -------------------------------------------------------------------------------------------------


def write(result: Pruned, out: str | os.PathLike[str], *, pictures: bool = True, command: str = "") -> dict[str, Any]:
    """Write what was found to a folder, each file all or nothing, and return what ``pruning.json`` holds.

    ``kept.parquet`` and ``dropped.parquet`` (id, concept, distance, reason; together every sample once),
    ``concepts.parquet``, ``uids.npy`` in DataComp's format where samples have uids, ``report.html``, and last
    ``pruning.json``.
    """
    from unseen.report import prune as report

    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    told = {**result.summary(), "settings": dict(result.settings), "command": command}
    jobs: dict[str, Callable[[Path], Any]] = {
        "kept.parquet": lambda file: pq.write_table(_rows(result, result.selection.mask), file),
        "dropped.parquet": lambda file: pq.write_table(_rows(result, ~result.selection.mask), file),
        "concepts.parquet": lambda file: pq.write_table(result.table(), file),
        "report.html": lambda file: file.write_bytes(report.page(_shown(result, told, pictures))),
    }
    if result.samples.has_uids:
        ids = result.samples.ids[result.selection.indices]
        jobs["uids.npy"] = lambda file: write_uids(file, ids.tolist())
    jobs["pruning.json"] = lambda file: file.write_text(
        json.dumps(told, indent=1, ensure_ascii=False, default=str) + "\n"
    )
    for name, job in jobs.items():
        with replacing(folder / name) as temporary:
            job(temporary)
    return told


def _rows(result: Pruned, which: NDArray[np.bool_]) -> pa.Table:
    at = np.flatnonzero(which)
    reasons = result.reasons[at]
    if reasons.size and (reasons == "kept").all():
        pick = str(result.settings["pick"])
        told = {"dbp": f"{pick} of its concept", "uniform": f"{pick} of its concept", "ssp": f"{pick} of all"}
        reasons = np.repeat(told.get(str(result.settings["method"]), str(result.settings["method"])), len(at))
    return pa.table(
        {
            "id": result.samples.ids[at],
            "row": at,
            "concept": result.concepts.labels[at],
            "distance": result.concepts.distances[at],
            "reason": pa.array(reasons, pa.string()).dictionary_encode(),
        }
    )


def _shown(result: Pruned, told: dict[str, Any], pictures: bool) -> Any:
    """What the page shows; thumbnails are made of a few samples of some concepts."""
    from unseen.report.prune import SHOWN, Concept, Sample, Shown

    chosen, found = result.selection, result.concepts
    table = result.table().to_pylist()
    half = SHOWN // 2
    picked = table if len(table) <= SHOWN else table[:half] + table[-half:]
    mask = chosen.mask
    concepts = []
    for row in picked:
        mine = np.flatnonzero((chosen.clusters == row["concept"]) & (found.fates == MEMBER))
        mine = mine[np.argsort(-found.distances[mine], kind="stable")]
        groups = {
            name: tuple(Sample(*_sample(result, int(i), pictures)) for i in _spread(mine[mask[mine] == kept]))
            for name, kept in (("kept", True), ("dropped", False))
        }
        concepts.append(Concept(row, groups["kept"], groups["dropped"]))
    return Shown(result.samples.name, told, table, tuple(concepts), chosen.plan, chosen.sizes, chosen.budgets)


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
