"""The small web of LAION-5B's claim, crawled: what the filter keeps, whether the books are exact, a kill in between.

And heads that score pairs for watermarks, safety and toxicity, learnt on one vendor and asked about another.
"""

from __future__ import annotations

import functools
import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq

from unseen.claims import small_web, worlds
from unseen.claims.base import Result
from unseen.claims.drawings import by
from unseen.curation.accounting import Accounting
from unseen.curation.collection import Collection
from unseen.curation.fetch import Politeness
from unseen.curation.pipeline import curate
from unseen.curation.settings import Settings
from unseen.data.simulate import web as site
from unseen.methods.curation.laion import accept, parse
from unseen.methods.curation.laion.heads import Head, train_head
from unseen.runtime import without_checkpoints

# -- heads that score pairs for watermarks, safety and toxicity, learnt on one vendor --------------------

THIRD, SIXTH = 3, 6

STAND_INS = {"unsafe": ("animal",), "toxicity": ("face-concerned", "face-negative", "face-unwell")}
"""Subgroups that stand in for what nobody wants to draw: unsafe pictures, and toxic captions."""


@without_checkpoints()
def run_scores(case: str, seed: int) -> Result:
    """Heads learnt on one vendor's pictures, asked about another's."""
    from sklearn.metrics import balanced_accuracy_score, roc_auc_score

    out: Result = {}
    for name in ("watermark", *STAND_INS):
        head = head_for(name, seed)
        other, truth = _labelled(name, case, seed)
        scores = head.score(other)
        out[name] = {
            "AUC": float(roc_auc_score(truth, scores)),
            "balanced accuracy": float(balanced_accuracy_score(truth, scores > head.threshold)),
            "flagged of those to flag": float((scores > head.threshold)[truth == 1].mean()),
        }
    return out


def head_for(name: str, seed: int) -> Head:
    """A head learnt from 400 labels, at most, of the first of the encoder's vendors."""
    encoder = small_web.encoder()
    about = {"name": encoder.name, "fingerprint": encoder.fingerprint, "dim": encoder.dim}
    x, y = _labelled(name, small_web.VENDORS[0], seed)
    few = few_labels(len(y), seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of constant features
        return train_head(x[few], y[few], name=name, encoder=about, seed=seed, folds=0)


def _labelled(name: str, style: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings of every third emoji of a vendor, or of every sixth without and with a watermark; labels of a head."""
    if name == "watermark":
        plain, marked = (_image_vectors(style, watermark, SIXTH) for watermark in (False, True))
        return np.concatenate([plain, marked]), np.repeat([0, 1], len(plain))
    y = flagged(name, style)
    if name == "unsafe":
        return _image_vectors(style, False, THIRD), y
    return small_web.encoder().encode_text(one_caption_each(style, seed)), y


def flagged(name: str, style: str) -> np.ndarray:
    """Which of every third emoji of a vendor a head is to flag."""
    groups = by(style).columns["subgroup"].tolist()[::THIRD]
    return np.array([group.startswith(STAND_INS[name]) for group in groups], dtype=np.int64)


def one_caption_each(style: str, seed: int) -> list[str]:
    """A caption of each of these in some language."""
    rng = np.random.default_rng(seed)
    return [str(rng.choice(list(captions.values()))) for _, captions in small_web.told(style)[::THIRD]]


def drawn_for_scores(case: str, seed: int) -> list[Any]:
    """What a cell of scores draws, and some pictures with a watermark and without."""
    few = [small_web.few_things(case, 2), *(few_labels(len(flagged(name, case)), seed) for name in STAND_INS)]
    shown = [small_web.as_shown(thing, watermark=mark) for thing in few[0] for mark in (False, True)]
    return [*few[1:], *(flagged(name, case) for name in STAND_INS), one_caption_each(case, seed), *shown]


def few_labels(n: int, seed: int) -> np.ndarray:
    """Which of n labels a head learns from: 400 at most."""
    return np.random.default_rng(seed).permutation(n)[:400]


@functools.cache
def _image_vectors(style: str, watermark: bool, step: int) -> np.ndarray:
    return small_web.image_vectors(small_web.features_of(*small_web.drawn(style, watermark=watermark, step=step)))


PAGES, EACH_FAULT = 1500, 12
KEEP = 0.5
NEAR = 0.8
"""Cosine from which pixels are asked whether two pictures are one: of copies on the development vendors it is 0.87 and
more, and of few other pictures. A threshold belongs to its encoder."""

EXPECTED: dict[tuple[str, str], tuple[str, ...]] = {
    ("parse", parse.BAD_FORMAT): ("svg",),
    ("parse", parse.INLINE): ("inline", "script"),
    ("parse", parse.BAD_URL): ("bad url",),
    ("parse", parse.LONG_HOST): ("long host",),
    ("parse", parse.NO_TEXT): ("no alt",),
    ("parse", parse.SHORT_TEXT): ("short alt",),
    ("parse", parse.REPEATED): ("repeated",),
    ("parse", "URL met before"): ("same url",),
    ("parse", "pair of URL and caption met before"): ("same pair",),
    ("download", "HTTP 404"): ("missing",),
    ("download", "a private address"): ("private", "redirect to private"),
    ("download", "a disallowed host"): ("blocked",),
    ("download", "X-Robots-Tag says no"): ("no ai",),
    ("download", "larger than is downloaded"): ("oversized",),
    ("download", "too many redirects"): ("redirect loop",),
    ("checks", accept.MARKUP): ("html",),
    ("checks", accept.SMALL_FILE): ("small file",),
    ("checks", accept.FORMAT): ("gif",),
    ("checks", accept.DAMAGED): ("truncated",),
    ("checks", accept.BOMB): ("bomb",),
    ("checks", accept.EMPTY): ("empty",),
    ("embed", accept.DAMAGED): ("damaged inside",),
    ("duplicates", "the same picture"): ("same picture",),
    ("duplicates", "nearly the same picture"): ("near picture",),
}
"""Which planted kinds each drop stands for; what the filter drops is a matter of degree."""


def misses(accounting: Accounting, web: site.SmallWeb) -> int:
    """By how many links the report's counts differ from those planted, summed over reasons."""
    planted = web.counts
    drops = {key: count for key, count in accounting.dropped.items() if key[0] not in ("filter", "language", "safety")}
    keys = {*drops, *EXPECTED}
    return sum(abs(drops.get(key, 0) - sum(planted[kind] for kind in EXPECTED.get(key, ()))) for key in keys)


def settings_for(address: str, **more: Any) -> Settings:
    """How the small web is curated."""
    polite = Politeness(
        allowed_hosts=(address.partition("://")[2],), blocked_hosts=(site.BLOCKED_HOST,), max_bytes=site.LARGEST
    )
    return Settings(**{"polite": polite, "bloom_error": 1e-9, "target_keep": KEEP, "near": NEAR, **more})


class Run(NamedTuple):
    """A web that was curated: every pair that reached the filter, and what the report says.

    `folder` is on disk as long as the run is in memory; `with_copies` is its collection with near duplicates left in.
    """

    web: site.SmallWeb
    accounting: Accounting
    paths: list[str]
    language: np.ndarray
    similarity: np.ndarray
    kept: np.ndarray
    address: str
    folder: tempfile.TemporaryDirectory[str]

    @property
    def with_copies(self) -> Collection:
        return Collection.open(Path(self.folder.name, "pairs"))


def shown(style: str) -> tuple[site.Thing, ...]:
    """The emoji of a site: two of three, among them all that exams ask for. The site shows all stamps beside them."""
    return tuple(on_site(small_web.things(style)))


def on_site(things: Sequence[Any]) -> list[Any]:
    """Two of three."""
    return [thing for i, thing in enumerate(things) if i % THIRD != 1]


def drawn_site(style: str, seed: int) -> dict[str, Any]:
    """What a cell draws of a vendor: who is on the site under which captions, and a web of some of its things."""
    web = site.small_web(on_site(small_web.few_things(style, 15)), n_pages=4, each_fault=1, seed=seed)
    captions = [*on_site(small_web.told(style)), *small_web.told_of_stamps(worlds.stamps())]
    return {"captions": captions, "links": web.links, "pages": list(web.pages), "answers": len(web.answers)}


def of_vendor(style: str, links: Sequence[site.Link]) -> np.ndarray:
    """Which links show emoji of a vendor and no stamps, (n,)."""
    return np.array([link.key.startswith(f"{style}/") for link in links], dtype=bool)


@functools.lru_cache(maxsize=2)
def curated(style: str, seed: int) -> Run:
    """Build, serve, crawl and curate the web of a vendor; then select once more with near duplicates left in."""
    web = site.small_web((*shown(style), *small_web.stamps()), n_pages=PAGES, each_fault=EACH_FAULT, seed=seed)
    folder = tempfile.TemporaryDirectory()
    crawl, out = Path(folder.name, "crawl.warc.gz"), Path(folder.name, "pairs")
    encoder = small_web.encoder()
    with site.serve(web) as address:
        site.crawl(address, web, crawl)
        settings = settings_for(address, seed=seed)
        curation = curate(crawl, out, encoder=encoder, settings=settings, cache=True)
    dropped = pq.read_table(out / "dropped.parquet").to_pylist()
    table = Collection.open(out).table(["url", "similarity"]).to_pylist()
    below = [row for row in dropped if row["stage"] == "filter"]
    paths = [row["url"].removeprefix(address) for row in (*table, *below)]
    similarity = np.array([*(row["similarity"] for row in table), *(float(row["detail"]) for row in below)])
    kept = np.arange(len(paths)) < len(table)
    language = np.array([web.truth[path].language for path in paths])
    heads = [head_for("unsafe", seed)]
    again = settings_for(address, seed=seed, near=None)
    curate(crawl, out, encoder=encoder, settings=again, stages=("select",), heads=heads, cache=True)
    return Run(web, curation.accounting, paths, language, similarity, kept, address, folder)


# -- the filter and its books --------------------------------------------------------------------------------


@without_checkpoints()
def run_filter(case: str, seed: int) -> Result:
    """Whether the pairs with true captions are those that stay, and whether every fault is counted as planted.

    The pairs of the vendor's emoji and those of stamps, which the encoder has seen even less of, are graded apart; the
    books are those of all links.
    """
    run = curated(case, seed)
    links = [run.web.truth[path] for path in run.paths]
    emoji = of_vendor(case, links)
    out = _graded(run, links, emoji, seed)
    if not emoji.all():
        out |= {f"{arm}, stamps": grades for arm, grades in _graded(run, links, ~emoji, seed).items()}
    out["books"] = {
        "links counted otherwise than planted": misses(run.accounting, run.web),
        "links": run.accounting.parsed,
        "pages": len(run.web.pages),
        "stamps": int(len(run.web.links) - of_vendor(case, run.web.links).sum()),
    }
    return out


def _graded(run: Run, links: Sequence[site.Link], mask: np.ndarray, seed: int) -> Result:
    """How well similarity tells true captions from wrong ones among the pairs of `mask`, beside a random order."""
    from sklearn.metrics import average_precision_score as average_precision

    true = np.array([link.kind in ("clean", "same picture", "near picture") for link in links])[mask]
    similarity, kept, language = run.similarity[mask], run.kept[mask], run.language[mask]
    order = np.random.default_rng(seed).permutation(len(true))
    out: Result = {
        "similarity": {
            "average precision": float(average_precision(true, similarity)),
            "precision": float(true[kept].mean()),
            "recall": float(kept[true].mean()),
        },
        "random": {"average precision": float(average_precision(true, order)), "precision": float(true.mean())},
    }
    for code in np.unique(language[true]).tolist():
        rows = language == code
        out["similarity"][f"average precision, {code}"] = float(average_precision(true[rows], similarity[rows]))
    return out


# -- killed and gone on with ---------------------------------------------------------------------------------

RESTART_THINGS, RESTART_PAGES = 120, 40


def few_of(n: int, seed: int) -> np.ndarray:
    """Which of n things are on the site."""
    return np.sort(np.random.default_rng(seed).permutation(n)[:RESTART_THINGS])


def drawn_for_restart(case: str, seed: int) -> list[Any]:
    """What a cell draws: which things are on the site, under which captions."""
    captions = small_web.told(case)
    return [captions[i] for i in few_of(len(captions), seed)]


@without_checkpoints()
def run_restart(case: str, seed: int) -> Result:
    """The command killed in the middle of its downloads and run again, beside one that was left alone."""
    things = small_web.things(case)
    chosen = few_of(len(things), seed)
    web = site.small_web([things[i] for i in chosen], n_pages=RESTART_PAGES, each_fault=2, seed=seed)
    with tempfile.TemporaryDirectory() as name, site.serve(web) as address:
        site.crawl(address, web, Path(name, "crawl.warc.gz"))
        killed = _kill(name, address, Path(name, "killed", "work", "fetched", "shards"))
        finished = [_command(name, address, out).wait() for out in ("killed", "whole")]
        digests = [_digests(Path(name, out)) for out in ("killed", "whole")]
    differ = set(digests[0].items()) ^ set(digests[1].items())
    return {
        "killed": {
            "files that differ": len(differ),
            "files": len(digests[0]),
            "shards before the kill": killed,
            "exit codes that are not 0": sum(code != 0 for code in finished),
        }
    }


def _command(folder: str, address: str, out: str) -> subprocess.Popen[bytes]:
    host = address.partition("://")[2]
    order = [sys.executable, "-m", "unseen.cli", "curate", "crawl.warc.gz", "--out", out, "--target-keep", "0.5"]
    order += ["--allow-host", host, "--block-host", site.BLOCKED_HOST, "--max-bytes", str(site.LARGEST)]
    order += ["--shard-size", "10", "--delay", "0.02"]
    quiet = subprocess.DEVNULL
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    return subprocess.Popen(order, cwd=folder, env=environment, stdout=quiet, stderr=quiet)  # noqa: S603


def _kill(folder: str, address: str, place: Path) -> int:
    """Start the command and kill it as soon as three shards are there; how many were."""
    process = _command(folder, address, "killed")
    deadline = time.monotonic() + 600
    while process.poll() is None and time.monotonic() < deadline and len(list(place.glob("[0-9]*"))) < 3:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    return len(list(place.glob("[0-9]*")))


def _digests(out: Path) -> dict[str, str]:
    """What a run leaves for its user, by file."""
    files = [*sorted((out / "shards").rglob("*")), *(out / n for n in ("dropped.parquet", "accounting.json"))]
    return {f.relative_to(out).as_posix(): hashlib.sha256(f.read_bytes()).hexdigest() for f in files if f.is_file()}
