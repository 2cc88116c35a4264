"""What curated pairs are good for, in LAION-5B's claim: training and retrieval."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from unseen.claims import small_web
from unseen.claims.base import Result
from unseen.claims.drawings import by
from unseen.claims.laion_site import KEEP, NEAR, THIRD, Run, curated, drawn_site, of_vendor, on_site, shown
from unseen.curation import index_training
from unseen.curation.collection import Collection
from unseen.curation.index import IndexChoice, build_index
from unseen.curation.index_choice import clusters_of
from unseen.curation.index_file import searched
from unseen.curation.retrieval import Query, RetrievalService, Term
from unseen.curation.vectors import Vectors
from unseen.data.domain import Domain
from unseen.data.images import decode
from unseen.data.simulate import web as site
from unseen.methods.curation.concept_pruning import ConceptPruning
from unseen.methods.curation.laion.similarity import passes, thresholds
from unseen.runtime import without_checkpoints

# -- training on what was filtered ---------------------------------------------------------------------------

STEPS, SMALL_BATCH = 120, 128
SMALL = {"batch": SMALL_BATCH, "hidden": 256, "buckets": 2**13}
PRUNED, NEARLY_EQUAL = 0.6, 0.02
ASKED = 100


@without_checkpoints()
def run_training(case: str, seed: int) -> Result:
    """Two towers trained on filtered, all, and true pairs for equal steps, asked in English about new pictures.

    A seed draws anew which of the site's emoji have wrong captions and in which language; the filter judges those.
    What it keeps is then read in English, for an exam of one language: with ten, a language would have some thirty
    true pairs. The exams show the site's vendor drawn anew, and another vendor (shift).
    """
    site_style, _, exam_style = case.partition(" to ")
    run = curated(site_style, seed // 100 * 100)
    features, true, similarity, streams, english = _redrawn(run, site_style, seed)
    kept = passes(similarity, streams, thresholds(None, KEEP, similarity, streams))
    n = len(true)
    filtered, random = np.flatnonzero(kept), np.random.default_rng(seed).permutation(n)[: int(kept.sum())]
    pruned = filtered[_pruned(features[torch.from_numpy(filtered)], similarity[filtered], seed)]
    arms = {
        "filtered": (filtered, STEPS),
        "unfiltered": (np.arange(n), STEPS),
        "random half": (np.sort(random), STEPS),
        "oracle": (np.flatnonzero(true), STEPS),
        "pruned": (pruned, STEPS),
        "pruned, equal epochs": (pruned, max(1, round(STEPS * len(pruned) / len(filtered)))),
    }
    exams = {"": _exam(site_style), "shift, ": _exam(exam_style)}
    out: Result = {}
    for arm, (rows, length) in arms.items():
        towers = small_web.learn(
            features[torch.from_numpy(rows)], [[english[i]] for i in rows], seed=seed, n_steps=length, **SMALL
        )
        grades = {
            f"{exam}{metric}": value
            for exam, questions in exams.items()
            for metric, value in small_web.grade(towers, *questions, ASKED).items()
        }
        out[arm] = {**grades, "pairs": len(rows), "steps": length, "true": float(true[rows].mean())}
    out["chance"] = {}
    for exam, (_, groups, _) in exams.items():
        out["chance"][f"{exam}classification"] = 1 / len(set(groups))
        out["chance"][f"{exam}R@1"] = 1 / min(ASKED, len(groups))
    return out


def _redrawn(run: Run, style: str, seed: int) -> tuple[torch.Tensor, np.ndarray, np.ndarray, list[str], list[str]]:
    """The site's emoji with captions drawn anew: features, whether they are true, similarity, streams, English."""
    captions = {thing.key: thing.captions for thing in shown(style)}
    paths = np.array(run.paths)[of_vendor(style, [run.web.truth[path] for path in run.paths])].tolist()
    keys = [run.web.truth[path].key for path in paths]
    features = _curated_features(tuple(paths), style, seed // 100 * 100)
    true, texts, streams, english = captions_drawn(keys, captions, seed)
    similarity = (small_web.image_vectors(features) * small_web.encoder().encode_text(texts)).sum(axis=1)
    return features, true, similarity, streams, english


def captions_drawn(
    keys: Sequence[str], captions: Mapping[str, Mapping[str, str]], seed: int
) -> tuple[np.ndarray, list[str], list[str], list[str]]:
    """Of each of some keys whether its caption is true, the caption, the stream of its language, and it in English."""
    rng = np.random.default_rng([seed, 5])
    true = rng.permutation(len(keys)) >= len(keys) // 2
    others = list(captions)
    texts, streams, english = [], [], []
    for i, key in enumerate(keys):
        about = captions[key if true[i] else _but(key, others, rng)]
        language = str(rng.choice(sorted(about)))
        text, plain = about[language], about["en"]
        if not true[i] and rng.random() < 0.25:
            text = plain = str(rng.choice(site.BOILERPLATE))
        texts.append(text)
        english.append(plain)
        streams.append("en" if language == "en" else "multi")
    return true, texts, streams, english


def drawn_for_training(case: str, seed: int) -> dict[str, Any]:
    """What a cell of training draws: the site, captions drawn anew as if all of it were kept, and the exams."""
    site_style, _, exam_style = case.partition(" to ")
    captions = dict(on_site(small_web.told(site_style)))
    return {
        "site": drawn_site(site_style, seed // 100 * 100),
        "captions": captions_drawn(list(captions), captions, seed),
        "exams": [asked_in(style)[0] for style in (site_style, exam_style)],
    }


def _but(key: str, keys: list[str], rng: np.random.Generator) -> str:
    """Another key."""
    while (other := keys[int(rng.integers(len(keys)))]) == key:
        pass
    return other


@functools.lru_cache(maxsize=2)
def _curated_features(paths: tuple[str, ...], style: str, seed: int) -> torch.Tensor:
    run = curated(style, seed)
    bodies = [run.web.answers[path].body for path in paths]
    return small_web.features_of([decode(body) for body in bodies], [hashlib.sha256(b).hexdigest() for b in bodies])


def _pruned(features: torch.Tensor, similarity: np.ndarray, seed: int) -> np.ndarray:
    """Which of the filtered pairs pruning by concept keeps, without near duplicates."""
    unit = torch.nn.functional.normalize(features - features.mean(dim=0), dim=1).numpy()
    pruning = ConceptPruning(keep=PRUNED, dedup=NEARLY_EQUAL, restarts=1).set_params(random_state=seed)
    return np.flatnonzero(
        pruning.fit(target=Domain(x=unit, kind="features", columns={"similarity": similarity})).transduction_
    )


@functools.cache
def _exam(style: str) -> tuple[torch.Tensor, list[str], list[str]]:
    """Features, subgroups and names of a vendor's emoji, every third, drawn anew."""
    index, groups = asked_in(style)
    features = small_web.features_of(*small_web.drawn(style, step=THIRD))
    captions = [captions["en"] for _, captions in small_web.told(style)[::THIRD]]
    return features[torch.from_numpy(index)], [groups[i] for i in index], [captions[i] for i in index]


def asked_in(style: str) -> tuple[np.ndarray, list[str]]:
    """Which of every third emoji of a vendor are asked about, in an order drawn, and the subgroups of all these."""
    groups = by(style).columns["subgroup"].tolist()[::THIRD]
    common = set(by(style, "subgroup").columns["subgroup"].tolist())
    return np.random.default_rng(0).permutation([i for i, group in enumerate(groups) if group in common]), groups


# -- retrieval -----------------------------------------------------------------------------------------------

FOUND = 20
FAMILIES = ("flat", "hnsw", "ivf", "pq")


@without_checkpoints()
def run_retrieval(case: str, seed: int) -> Result:
    """The service over what was curated: names, repeated pictures, indices, and the toggle for unsafe pictures."""
    run = curated(case, seed)
    collection = run.with_copies
    for side in ("image", "text"):
        build_index(collection, side, seed=seed)
    service = RetrievalService.open(collection.folder, encoder=small_web.encoder())
    links = [run.web.truth[url.removeprefix(run.address)] for url in collection.table(["url"])["url"].to_pylist()]
    return {
        "service": {**_by_name(service, case, links, seed), "pairs": len(links)},
        **_repeated(service, links),
        **_recalls(collection, seed),
        **_unsafe(service, seed),
    }


def _by_name(service: RetrievalService, style: str, links: list[site.Link], seed: int) -> dict[str, float]:
    """Share of 100 exact names of emoji, each in the language of its pair, whose first result is that thing."""
    emoji = of_vendor(style, links)
    clean = [i for i, link in enumerate(links) if emoji[i] and link.told_key == link.key]
    rows = np.random.default_rng(seed).permutation(clean)[:ASKED].tolist()
    hits = {"pictures": 0.0, "pictures, first 10": 0.0, "captions": 0.0}
    for row in rows:
        name = small_web.name_of(links[row].key, links[row].language)
        pictures = service.search(Query(terms=[Term("text", name)], k=10, safe=False)).rows
        keys = [links[i].key for i in pictures]
        hits["pictures"] += keys[:1] == [links[row].key]
        hits["pictures, first 10"] += links[row].key in keys
        captions = service.search(Query(terms=[Term("text", name)], side="text", k=1, safe=False)).rows
        hits["captions"] += [links[i].told_key for i in captions] == [links[row].told_key]
    return {f"names found, {side}": value / len(rows) for side, value in hits.items()}


def _repeated(service: RetrievalService, links: list[site.Link]) -> Result:
    """Pictures of one thing that are shown again among the first 20, with and without removal, and what it costs."""
    twice = [i for i, link in enumerate(links) if link.kind == "near picture"]
    out: Result = {}
    for arm, remove in (("duplicates removed", True), ("duplicates left", False)):
        repeats, shown_ = 0, 0
        for row in twice:
            query = Query(terms=[Term("row", row)], k=FOUND, deduplicate=remove, near=NEAR, safe=False)
            results = service.search(query).rows
            keys = [links[i].key for i in results]
            repeats, shown_ = repeats + len(keys) - len(set(keys)), shown_ + len(set(keys))
        out[arm] = {"repeated": repeats, "queries": len(twice), "things shown": shown_ / max(1, len(twice))}
    return out


def _recalls(collection: Collection, seed: int) -> Result:
    """Recall@10 of every kind of index on the collection's pictures, by half of the held-out captions and pictures."""
    vectors = Vectors.of(collection, "image")
    n, dim = len(vectors), vectors.dim
    rows = np.random.default_rng(seed).permutation(n)
    held, learnt = np.sort(rows[: n // 5]), np.sort(rows[n // 5 :])
    texts = Vectors.of(collection, "text").take(held)
    both = np.concatenate([vectors.take(held), texts])
    queries = index_training.exact_queries(vectors, both, np.concatenate([held, np.full(len(held), -1)]))
    half = np.arange(len(both)) % 2 == 0
    lists = clusters_of(n) // 4  # of so few vectors
    bits = min(8, int(np.log2(len(learnt))))  # a codebook learns from at least as many vectors as it has entries
    keys = ("Flat", "HNSW15", f"IVF{lists},Flat", f"OPQ16_{dim},IVF{lists},PQ16x{bits}")
    out: Result = {}
    for family, key in zip(FAMILIES, keys):
        clusters, code = (lists if family in ("ivf", "pq") else 0), (16 if family == "pq" else 0)
        choice = IndexChoice(key, family, 0, "asked for", clusters, code)
        index = index_training.make(choice, dim, lambda: vectors.take(learnt), seed)
        index.add(vectors.take(np.arange(n)))
        parameters = index_training.tune(index, choice, vectors, [queries.take(half)], 0.95, 0.01)
        test = queries.take(~half)
        nearest = searched(index, vectors, test.x, index_training.K + 1, parameters)[1]
        out[f"index {family}"] = {"recall@10": float(test.recall(vectors, nearest))}
    return out


def _unsafe(service: RetrievalService, seed: int) -> Result:
    """Flagged pictures among the results of queries near flagged ones, with the toggle on and off."""
    scores = service.columns.numbers("punsafe")
    flagged = np.random.default_rng(seed).permutation(np.flatnonzero(scores > 0.5))[:FOUND].tolist()
    out: Result = {}
    for arm, safe in (("toggle on", True), ("toggle off", False)):
        results = [service.search(Query(terms=[Term("row", row)], k=FOUND, safe=safe)).rows for row in flagged]
        returned = int(sum((scores[rows] > 0.5).sum() for rows in results))
        out[arm] = {"flagged items returned": returned, "items": sum(map(len, results))}
    return out
