"""The figures of zero-shot.md: all systems and baselines on three shared tasks, and what class-wise validation chooses.

    python docs/zero_shot_study.py emoji --split development     a rule of choice may be changed on these
    python docs/zero_shot_study.py emoji --split confirmation    other emoji by other vendors, looked at once
    python docs/zero_shot_study.py icd --split development       titles of ICD-9-CM to chapters 9 and 10 of ICD-10-CM
    python docs/zero_shot_study.py icd --split confirmation      chapters 11 and 14
    python docs/zero_shot_study.py page                          the tables of zero-shot.md

Each adds to evidence/zero_shot_study.json what it lacks, some minutes a case on two cores.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from study_pages import DOCS, markdown, replaced, rows_text

import unseen
from unseen import catalogue, encoders
from unseen.claims.drawings import VENDORS, drawn
from unseen.claims.text2node import data, nearest_text, without_phrases
from unseen.compare.validators import CLASSWISE, HELD_OUT_CLASSES, INFORMATION, SOURCE
from unseen.data import ontologies
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.label_metrics import taxonomy
from unseen.data.taxonomies import hold_out
from unseen.evaluation.metrics.taxonomy import taxonomy_scores
from unseen.nn.node2vec import node2vec
from unseen.validation import vote

FILE = DOCS / "evidence" / "zero_shot_study.json"
CLASSES, UNSEEN, FOLDS, FEWEST = 300, 60, 3, 3
"""Emoji, those without a drawing, folds of them, and classes that a keyword must have to be an attribute."""
ENCODER = "efficientnet-lite0?regions=4"
WORDS = {"texts": "vectors of texts", "attributes": "attributes"}
HEADLINE = {"zsl": "class_accuracy", "gzsl": "h"}


# -- emoji -------------------------------------------------------------------------------------------------


@functools.cache
def drawings(split: str) -> tuple[Domain, ClassSpace]:
    """300 emoji by five vendors, vendor after vendor, with features of regions, and all that is said of them."""
    styles, encoder = drawn(split, CLASSES), encoders.get(ENCODER)
    parts = [encoder.encode(style, precision="fp32") for style in styles]
    columns = styles[0].columns
    names, words = columns["name"].tolist(), [text.split(", ") for text in columns["keywords"].tolist()]
    texts = np.array([f"{name}: {', '.join(own)}" for name, own in zip(names, words)])
    vectors = encoders.get("minilm").encode(Domain(x=texts, kind="text"), precision="fp32").x
    paths = list(zip(columns["group"].tolist(), columns["subgroup"].tolist(), names))
    space = ClassSpace(names=tuple(names), descriptions=tuple(texts), embeddings=vectors, metric=taxonomy(paths))
    whole = Domain(
        x=np.concatenate([part.x for part in parts]),
        y=np.tile(np.arange(CLASSES), len(parts)),
        columns={"regions": np.concatenate([part.columns["regions"] for part in parts])},
        classes=space,
        name=split,
    )
    return whole, ontologies.with_ontology(space, ontology(paths, words))


def ontology(paths: Sequence[tuple[str, str, str]], words: Sequence[Sequence[str]]) -> ontologies.Ontology:
    """Unicode's groups and subgroups, and which emoji has which keyword."""
    triples = {(name, "subClassOf", f"subgroup {part}") for _, part, name in paths}
    triples |= {(f"subgroup {part}", "subClassOf", f"group {group}") for group, part, _ in paths}
    triples |= {(name, "hasKeyword", f"word {w}") for (_, _, name), own in zip(paths, words) for w in own if w}
    known = {end for head, _, tail in triples for end in (head, tail)}
    texts = {end: end.partition(" ")[2] for end in known - {name for _, _, name in paths}}
    return ontologies.build(sorted(triples), texts, classes=[name for _, _, name in paths])


def by_attributes(space: ClassSpace, split: str) -> ClassSpace:
    """The classes by which group, subgroup and keywords they have, of those that some share."""
    columns = drawn(split, CLASSES)[0].columns
    own = [
        [f"group {group}", f"subgroup {part}", *(f"word {word}" for word in text.split(", "))]
        for group, part, text in zip(*(columns[key].tolist() for key in ("group", "subgroup", "keywords")))
    ]
    count: dict[str, int] = defaultdict(int)
    for name in itertools.chain.from_iterable(map(set, own)):
        count[name] += 1
    names = sorted(name for name, n in count.items() if n >= FEWEST)
    place = {name: i for i, name in enumerate(names)}
    marks = np.zeros((len(space), len(names)), dtype=np.float32)
    for row, line in zip(marks, own):
        row[[place[name] for name in line if name in place]] = 1
    readable = tuple(name.partition(" ")[2] if names.count(name) == 1 else name for name in names)
    unique = tuple(
        f"{text} ({names[i].split()[0]})" if readable.count(text) > 1 else text for i, text in enumerate(readable)
    )
    return space.replace(embeddings=None, attributes=marks, attribute_names=unique)


def emoji_cases(split: str) -> Iterator[dict[str, Any]]:
    """Folds of unseen classes, told by vectors of texts or by attributes, alone (ZSL) and among all (GZSL)."""
    whole, space = drawings(split)
    vendor = np.arange(len(whole)) // CLASSES
    for fold, knowledge in itertools.product(range(FOLDS), WORDS):
        rng = np.random.default_rng([fold, split == "confirmation"])
        unseen_ = np.sort(rng.permutation(CLASSES)[:UNSEEN])
        aside = vendor == rng.integers(len(VENDORS[split]), size=CLASSES)[whole.labels]
        new = np.isin(whole.labels, unseen_)
        seen = np.setdiff1d(np.arange(CLASSES), unseen_)
        told = space if knowledge == "texts" else by_attributes(space, split)
        order = np.concatenate([seen, unseen_])  # as `compare` has them: the seen classes first
        classes = told.take(order).replace(seen=np.arange(len(seen)), metric=told.metric.take(order))
        y = np.argsort(order)[whole.labels]
        domain = whole.with_labels(y, classes)
        for protocol, tested in (("zsl", new), ("gzsl", new | aside)):
            yield {
                "name": f"emoji {protocol} by {knowledge}, {split} {fold}",
                "part": f"emoji {protocol} by {knowledge}",
                "split": split,
                "protocol": protocol,
                "source": domain.take(~new & ~aside),
                "target": domain.take(tested),
                "classes": classes,
            }


def measure(case: Mapping[str, Any]) -> dict[str, Any]:
    """All that fits, by `compare`: the exam's metrics, the label-free scores, the seconds of a fit."""
    results = unseen.compare(
        source=case["source"], target=case["target"], classes=case["classes"], protocol=case["protocol"], seeds=1
    ).results
    candidates = {
        row["name"]: {
            "metrics": {m: spread["mean"] for m, spread in row["metrics"]["adapted"].items()},
            "held out": {m: spread["mean"] for m, spread in row["metrics"].get("held out", {}).items()},
            "validators": {v: spread["mean"] for v, spread in row["validators"].items()},
            "seconds": row["seconds"],
        }
        for row in sorted(results["candidates"], key=lambda row: row["name"])
    }
    return {
        "name": case["name"], "part": case["part"], "split": case["split"], "headline": HEADLINE[case["protocol"]],
        "chosen": results["chosen"]["name"], "candidates": candidates, "left out": results["left_out"],
    }  # fmt: skip


# -- ICD ---------------------------------------------------------------------------------------------------

DIM = 128
PHRASES = ("text2node", "text2node:cnn", "text2node:mean")
VECTORS = (
    "ridge:generalized", "conse:generalized", "devise:generalized", "sae:generalized", "dap:generalized", "loki",
    "mte-zsar:generalized", "lisgan:generalized", "ontozsl:generalized", "crest:generalized", "tmv-hlp:generalized",
)  # fmt: skip
"""Methods on sentence vectors of the phrases; the vector of a class is node2vec's."""


def icd_cases(split: str) -> Iterator[tuple[str, str, int]]:
    """Every method on every fold, by name."""
    for fold, name in itertools.product(
        range(FOLDS), ("nearest phrase", "nearest phrase by words", *PHRASES, *VECTORS)
    ):
        yield f"ICD, {split} {fold}: {name}", name, fold


def icd(split: str, fold: int, name: str) -> dict[str, Any]:
    """One method on titles of ICD-9-CM; a fifth of the codes at the bottom of the tree has no phrase."""
    tree, titles = data(split)
    held = without_phrases(tree, fold)
    source, _ = hold_out(tree.phrases, held)
    started = time.perf_counter()
    if name.startswith("nearest phrase"):
        ranked = nearest_text(source, titles) if name.endswith("words") else nearest_sentence(source, titles)
    else:
        slug, _, preset = name.partition(":")
        ranked = ranks(slug, preset or "default", split, source, titles, fold)
    seconds = time.perf_counter() - started
    new, metric = np.isin(titles.labels, held), tree.classes.metric
    found = taxonomy_scores(titles.labels, ranked, metric)
    found |= {f"unseen {key}": value for key, value in taxonomy_scores(titles.labels[new], ranked[new], metric).items()}
    return {"method": name, "part": "ICD", "split": split, "fold": fold, "metrics": found, "seconds": seconds}


def ranks(slug: str, preset: str, split: str, source: Domain, titles: Domain, fold: int) -> NDArray[np.int64]:
    """The ten nodes that a method finds likeliest for each title."""
    classes, nodes = source.classes, node_vectors(split)
    assert classes is not None
    if slug == "text2node":
        method = catalogue.make(slug, preset, fold).fit(source=source, classes=classes)
        return method.rank(titles, 10).nodes  # type: ignore[attr-defined]
    learn, ask = (vectors(part) for part in (source, titles))
    space = classes.replace(embeddings=nodes, metric=classes.metric, seen=np.unique(source.labels))
    learn = learn.with_labels(source.labels, space)
    inputs = {"source": learn, "classes": space}
    if slug == "tmv-hlp":
        inputs["target"] = ask.unlabeled()
    settings = {"handicap": 0.0} if "handicap" in catalogue.make(slug).get_params() else {}
    given = catalogue.Given(inputs, seed=fold)
    scores = given.fit(catalogue.make(slug, preset, fold, **settings)).decision_function(ask).numpy()
    return np.argsort(-scores, axis=1, kind="stable")[:, :10]


def vectors(phrases: Domain) -> Domain:
    """Phrases as MiniLM's vectors."""
    return encoders.get("minilm").encode(phrases, precision="fp32")


def nearest_sentence(source: Domain, titles: Domain, k: int = 10) -> NDArray[np.int64]:
    """Nodes of the phrases nearest to each title by the cosine of MiniLM's vectors."""
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (vectors(titles).x, vectors(source).x))
    order = np.argsort(-(a @ b.T), axis=1, kind="stable")[:, : 20 * k]
    found = [list(dict.fromkeys(source.labels[row].tolist()))[:k] for row in order]
    return np.array([row + [-1] * (k - len(row)) for row in found])


@functools.cache
def node_vectors(split: str) -> NDArray[np.float32]:
    """node2vec's vectors of the whole tree, as Text2Node makes them."""
    from unseen.methods.zero_shot.text2node.method import graph_edges
    from unseen.runtime import reproducible

    edges, n, places = graph_edges(data(split)[0].classes.metric)
    with reproducible(0):
        return node2vec(edges, n, dim=DIM, q=4.0, window=3, least_steps=300).numpy()[places]


# -- tables ------------------------------------------------------------------------------------------------

RULES = {
    "class-wise validation": lambda v, protocol: vote(
        v[HELD_OUT_CLASSES if protocol == "class_accuracy" else CLASSWISE]
    ),
    "information, of those that keep the source": lambda v, protocol: vote(v[INFORMATION], v[SOURCE]),
    "information maximization": lambda v, protocol: v[INFORMATION],
    "source validation": lambda v, protocol: v[SOURCE],
}


def picked(case: Mapping[str, Any], rule: Any) -> str:
    """What a rule chooses."""
    rows = case["candidates"]
    validators = next(iter(rows.values()))["validators"]
    votes = rule({v: {n: row["validators"][v] for n, row in rows.items()} for v in validators}, case["headline"])
    return max(rows, key=lambda name: votes[name])


def choice_table(cases: Sequence[Mapping[str, Any]]) -> str:
    """Each rule's headline metric, regret, and how often it is the oracle's choice; a random candidate beside them."""
    rows = []

    def line(name: str, got: list[float], best: list[float]) -> list[str]:
        gap = np.array(best) - np.array(got)
        return [name, f"{np.mean(got):.3f}", f"{gap.mean():.3f}", f"{gap.max():.3f}", f"{(gap == 0).mean():.2f}"]

    def score(case: Mapping[str, Any], name: str) -> float:
        return case["candidates"][name]["metrics"][case["headline"]]

    best = [max(score(case, name) for name in case["candidates"]) for case in cases]
    for name, rule in RULES.items():
        rows.append(line(name, [score(case, picked(case, rule)) for case in cases], best))
    mean = [float(np.mean([score(case, name) for name in case["candidates"]])) for case in cases]
    rows.append(line("a candidate at random (mean)", mean, best))
    rows.append(line("the best candidate, by the exam", best, best))
    return markdown(["rule", "score", "regret", "largest regret", "best chosen"], rows)


def board(cases: Sequence[Mapping[str, Any]]) -> str:
    """Every candidate on one part, the best mean first: mean, worst fold, seconds."""
    headline = cases[0]["headline"]
    names = {name for case in cases for name in case["candidates"]}
    rows = []
    for name in names:
        own = [case["candidates"][name] for case in cases if name in case["candidates"]]
        main = np.array([row["metrics"][headline] for row in own])
        cells = [f"`{name}`", f"{main.mean():.3f}", f"{main.min():.3f}"]
        for metric in ("s", "u", "auc") if headline == "h" else ("hit@5", "hp@5"):
            cells.append(f"{np.mean([row['metrics'].get(metric, np.nan) for row in own]):.3f}")
        rows.append((main.mean(), [*cells, f"{np.mean([row['seconds'] for row in own]):.1f}"]))
    header = ["candidate", "H" if headline == "h" else "accuracy", "worst fold"]
    header += ["S", "U", "area"] if headline == "h" else ["hit@5", "hp@5"]
    return markdown([*header, "s per fit"], [cells for _, cells in sorted(rows, key=lambda row: -row[0])])


def icd_board(rows: Sequence[Mapping[str, Any]]) -> str:
    """Every method on the titles of ICD-9-CM, the best on codes without phrases first."""
    table = []
    for name in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == name]
        mean = {m: float(np.mean([row["metrics"][m] for row in own])) for m in own[0]["metrics"]}
        worst = min(row["metrics"]["unseen hit@10"] for row in own)
        cells = [f"{mean[m]:.3f}" for m in ("hit@1", "hit@10")] + [
            f"{mean['hops']:.2f}",
            f"{mean['unseen hit@10']:.3f}",
        ]
        cells += [f"{worst:.3f}", f"{mean['unseen hops']:.2f}", f"{np.mean([row['seconds'] for row in own]):.0f}"]
        table.append((mean["unseen hit@10"], [f"`{name}`", *cells]))
    header = ["method", "hit@1", "hit@10", "hops", "unseen hit@10", "worst fold", "unseen hops", "s per fit"]
    return markdown(header, [cells for _, cells in sorted(table, key=lambda row: -row[0])])


def write_page(found: Sequence[Mapping[str, Any]]) -> None:
    """Put the tables between their marks in zero-shot.md."""
    page = DOCS / "zero-shot.md"
    text = page.read_text(encoding="utf-8")
    emoji = [row for row in found if row["part"] != "ICD"]
    tables = {
        f"{part}": board([row for row in emoji if row["part"] == part and row["split"] == "confirmation"])
        for part in dict.fromkeys(row["part"] for row in emoji)
    }
    for split in ("development", "confirmation"):
        if own := [row for row in emoji if row["split"] == split]:
            tables[f"choice {split}"] = choice_table(own)
        if own := [row for row in found if row["part"] == "ICD" and row["split"] == split]:
            tables[f"icd {split}"] = icd_board(own)
    for name, table in tables.items():
        mark = f"<!-- {name} -->\n"
        if mark in text:
            head, rest = text.split(mark)
            text = f"{head}{mark}{table}\n<!-- end -->" + rest.split("<!-- end -->", 1)[1]
    replaced(page, text)


def recorded() -> list[dict[str, Any]]:
    """The rows of the file."""
    return json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else []


def main() -> None:
    """Measure, or write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["emoji", "icd", "page"])
    parser.add_argument("--split", choices=["development", "confirmation"], default="development")
    given = parser.parse_args()
    found = recorded()
    if given.what == "page":
        write_page(found)
        return
    have = {row["name"] for row in found}
    jobs: Iterator[tuple[str, Any]] = (
        ((case["name"], functools.partial(measure, case)) for case in emoji_cases(given.split))
        if given.what == "emoji"
        else ((name, functools.partial(icd, given.split, fold, who)) for name, who, fold in icd_cases(given.split))
    )
    for name, job in jobs:
        if name not in have:
            row = {"name": name, **job()}
            rest = [other for other in recorded() if other["name"] != name]  # another run may have added to them
            replaced(FILE, rows_text([*rest, row]))
            print(name, flush=True)


if __name__ == "__main__":
    main()
