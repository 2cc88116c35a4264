"""A few labels and no source: what to predict with, on domains of many families.

    python benchmarks/shifts/cases.py --make --families ...   the features, once
    python benchmarks/shifts/few_labels.py run                every learner on every draw; it goes on where it stopped
    python benchmarks/shifts/few_labels.py renew              the consensus once more, after a change of it
    python benchmarks/shifts/few_labels.py slow               `fixmatch`, too, on some draws: fifty times as slow
    python benchmarks/shifts/few_labels.py collect            all figures into docs/few-labels.json
    python benchmarks/shifts/few_labels.py page               the tables of docs/choosing-study.md from them

A pool is a domain of a case, with at most `MOST` samples and `CLASSES` classes. Of it 1, 3, 5 or 10 labels of each
class are shown, a fifth of the rest is held out, and the other samples are the target. Figures are accuracies on the
target; means are over the draws of a family, then over families.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from shifts.cases import load, root_of
from shifts.cases import names as cases
from shifts.few_labels_tables import LEARNT_ON, SHOTS, tables
from shifts.study import filled
from unseen import catalogue
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.methods.baselines.propagate import spread, surest
from unseen.nn.classifier import Standardizer
from unseen.nn.logistic import PENALTIES, fit_logistic
from unseen.nn.neighbours import nearest
from unseen.runtime import limited_threads, replacing
from unseen.validation import leave_out

Record = dict[str, Any]
Array = NDArray[Any]

DRAWS, POOLS = 2, 2
MOST, CLASSES, FEWEST = 600, 20, 4
"""Samples and classes of a pool, and samples of a class that must be left to grade."""

FOLDS, SLOW_SHOTS = 5, 3
DOCS = Path(__file__).resolve().parents[2] / "docs"
FILE, PAGE = DOCS / "few-labels.json", DOCS / "choosing-study.md"
MEANS = {
    "one regression": ("logistic, moderated, 0.1", "spread, centred"),
    "two regressions": ("logistic, moderated, 0.1", "tuned, raw", "spread, centred"),
    "two regressions, the tuned one twice": ("logistic, moderated, 0.1", "tuned, raw", "tuned, raw", "spread, centred"),
}
"""What else was heard together: means of probabilities on the target."""


# -- pools -------------------------------------------------------------------------------------------------


def pools(family: str, cache: Path | None = None) -> Iterator[Domain]:
    """The largest domains of a family's cases, each once."""
    found: dict[str, Domain] = {}
    for case in (load(name, cache=cache) for name in cases(family, cache=cache)):
        for domain in (case.source, case.target):
            kept = found.get(domain.name)
            if kept is None or len(domain) > len(kept):
                found[domain.name] = domain
    by_size = sorted(found.values(), key=lambda domain: (-len(domain), domain.name))
    plain = [domain for domain in by_size if "," not in domain.name]
    for domain in (plain if len(plain) >= POOLS else by_size)[:POOLS]:
        yield _lean(domain)


def _lean(pool: Domain) -> Domain:
    """At most `CLASSES` classes, the most frequent, and `MOST` samples of them."""
    assert pool.classes is not None
    counts = np.bincount(pool.labels, minlength=len(pool.classes))
    kept = np.sort(np.argsort(-counts, kind="stable")[:CLASSES])
    kept = kept[counts[kept] > FEWEST]
    pool = pool.take(np.isin(pool.labels, kept)).replace(columns={})
    pool = pool.take(np.random.default_rng(0).permutation(len(pool))[:MOST])
    used, labels = np.unique(pool.labels, return_inverse=True)
    assert pool.classes is not None
    return pool.with_labels(labels, pool.classes.take(used))


def drawn(pool: Domain, shots: int, draw: int) -> tuple[Array, Array, Array] | None:
    """Positions of the labels shown, of the target and of what is held out; None where a class has too few."""
    counts = np.bincount(pool.labels)
    if counts.min() < min(shots, 2) + 2 or np.median(counts) < shots + FEWEST:
        return None
    order = np.random.default_rng([shots, draw]).permutation(len(pool))
    most = np.minimum(shots, counts - 2)
    shown = np.concatenate([order[pool.labels[order] == c][: most[c]] for c in range(len(counts))])
    rest = order[~np.isin(order, shown)]
    aside = round(0.2 * len(rest))
    return shown, rest[aside:], rest[:aside]


# -- learners ----------------------------------------------------------------------------------------------


def quick(
    x: Array, y: Array, pool: Array, aside: Array, n: int, penalties: Sequence[float] = (0.1, 1.0, 10.0)
) -> dict[str, list[Array]]:
    """Probabilities of the pool and of what is held out of it, by learners that take less than a second.

    What spreads over the pool says nothing of what is held out: its second part is empty.
    """
    parts = [torch.as_tensor(np.ascontiguousarray(part)).float() for part in (x, pool, aside)]
    both, found = torch.cat(parts[:2]), {}
    scaler = Standardizer(x.shape[1]).measure(both)
    ways = {
        "standardized": [scaler(part) for part in parts],
        "centred": [part - both.mean(dim=0) for part in parts],
        "raw": parts,
    }
    for way, (labelled, others, held) in ways.items():
        p = spread([(labelled, y)], others, n, 10, 0.95)
        found[f"spread, {way}"] = [p.numpy(), np.zeros((0, n), dtype=np.float32)]
        for c in penalties if way != "centred" else ():
            moderated = way == "raw"  # deviations of the labelled samples alone, drawn towards each other
            network = fit_logistic(labelled, y, n, C=c, standardize="moderated" if moderated else False)
            key = f"logistic, {'moderated' if moderated else way}, {c:g}"
            found[key] = [_softmax(network, part) for part in (others, held)]
    return found


def tuned(x: Array, y: Array, asked: Sequence[Array], n: int, *, standardize: bool) -> tuple[list[Array], float]:
    """scikit-learn's logistic regression, its penalty by cross-validation; the best score of that beside it."""
    from sklearn.linear_model import LogisticRegression, LogisticRegressionCV

    mean, deviation = x.mean(axis=0), x.std(axis=0)
    by = np.where(deviation > 1e-6, deviation, 1.0) if standardize else np.ones_like(mean)
    axes = np.linalg.svd((x - mean) / by, full_matrices=False)[2].T  # the solution lies in the span of the samples
    folds, score = min(int(np.bincount(y)[np.unique(y)].min()), 3), np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if folds < 2:
            model = LogisticRegression(max_iter=300).fit((x - mean) / by @ axes, y)
        else:
            model = LogisticRegressionCV(Cs=list(PENALTIES), cv=folds, max_iter=300).fit((x - mean) / by @ axes, y)
            score = float(np.max(np.mean(np.asarray(next(iter(model.scores_.values()))), axis=0)))
    answers = [np.zeros((len(part), n), dtype=np.float32) for part in asked]
    for p, part in zip(answers, asked):
        p[:, model.classes_] = model.predict_proba((part - mean) / by @ axes)
    return answers, score


def self_trained(x: Array, y: Array, pool: Array, aside: Array, n: int, p: Array, rounds: int = 5) -> list[Array]:
    """A linear classifier on the labels and on the surest of `p`, a larger share each round, as `propagate` has it."""
    parts = [torch.as_tensor(np.ascontiguousarray(part)).float() for part in (x, pool, aside)]
    scaler = Standardizer(x.shape[1]).measure(torch.cat(parts[:2]))
    labelled, others, held = (scaler(part) for part in parts)
    said = torch.as_tensor(p)
    near = nearest(F.normalize(others, dim=1), F.normalize(others, dim=1), 6)[:, 1:]
    for done in range(1, rounds + 1):
        sure = surest(said, done / rounds)
        network = fit_logistic(
            torch.cat([labelled, others[sure]]), np.r_[y, said[sure].argmax(dim=1).numpy()], n, C=0.1,
            standardize=False, weights=torch.cat([torch.ones(len(y)), torch.full((len(sure),), len(y) / len(sure))]),
        )  # fmt: skip
        said = torch.as_tensor(_softmax(network, others))
        said = (said + said[near].mean(dim=1)) / 2
    return [said.numpy(), _softmax(network, held)]


def house(slug: str, x: Array, y: Array, pool: Array, aside: Array, space: ClassSpace) -> list[Array]:
    """Probabilities by a method of the catalogue."""
    domains = [Domain(x=np.asarray(part, dtype=np.float32)) for part in (x, pool, aside)]
    given = catalogue.Given({"support": domains[0].with_labels(y, space), "target": domains[1]})
    method = given.fit(catalogue.make(slug))
    return [torch.softmax(method.decision_function(part), dim=1).numpy() for part in domains[1:]]


def _softmax(network: Any, x: torch.Tensor) -> Array:
    with torch.no_grad():
        p: Array = torch.softmax(network(x), dim=1).numpy()
    return p


# -- draws -------------------------------------------------------------------------------------------------


def one(pool: Domain, places: tuple[Array, Array, Array]) -> tuple[Record, dict[str, Array]]:
    """What every quick learner says of a draw, and of the labels that each part of the support leaves out."""
    shown, rest, aside = places
    x, y, n = np.asarray(pool.x, dtype=np.float32), pool.labels, len(pool.classes or ())
    assert pool.classes is not None
    told = (x[shown], y[shown], x[rest], x[aside])
    started = time.process_time()
    said = quick(*told, n)
    scores = {}
    for way, key in ((False, "raw"), (True, "standardized")):
        said[f"tuned, {key}"], scores[f"tuned, {key}"] = tuned(*told[:2], told[2:], n, standardize=way)
    said["prototypes"] = house("prototypes", *told, pool.classes)
    said["self-trained"] = self_trained(*told, n, said["spread, standardized"][0])
    said["consensus"] = house("consensus", *told, pool.classes)
    left: dict[str, list[Array]] = {}
    graded: list[Array] = []
    for learn, grade in parts_of(y[shown]):
        seen, asked = shown[learn], shown[grade]
        again = quick(x[seen], y[seen], np.concatenate([x[rest], x[asked]]), x[aside], n, (0.1, 1.0))
        again["prototypes"] = house("prototypes", x[seen], y[seen], x[asked], x[aside], pool.classes)
        for key, answers in again.items():
            left.setdefault(key, []).append(answers[0][-len(asked) :])
        graded.append(y[asked])
    arrays = {f"p {key}": answers[0].astype(np.float16) for key, answers in said.items()}
    arrays |= {f"h {key}": answers[1].astype(np.float16) for key, answers in said.items() if len(answers[1])}
    arrays |= {f"l {key}": np.concatenate(answers).astype(np.float16) for key, answers in left.items()}
    arrays |= {"truth": y[rest], "held": y[aside], "graded": np.concatenate(graded) if graded else np.zeros(0, int)}
    record = {"classes": n, "labels": len(shown), "target": len(rest), "width": x.shape[1], "scores": scores,
              "seconds": time.process_time() - started}  # fmt: skip
    return record, arrays


def parts_of(y: Array) -> Iterator[tuple[Array, Array]]:
    """Which labels to learn from and which to grade: five parts, once."""
    found = list(leave_out(y, FOLDS, 1))
    if len(found) <= FOLDS:
        yield from found
        return
    places = np.array([int(np.flatnonzero(grade)[0]) for _, grade in found])  # left out one by one
    rank = np.zeros(len(y), dtype=int)
    for c in np.unique(y):
        rank[y == c] = c + np.arange((y == c).sum())
    for fold in range(FOLDS):
        grade = np.zeros(len(y), dtype=bool)
        grade[places] = rank[places] % FOLDS == fold
        if grade.any() and len(np.unique(y[~grade])) == len(np.unique(y)):
            yield ~grade, grade


def run(families: Sequence[str], cache: Path | None = None) -> None:
    """Every draw of the families that has not run."""
    folder = root_of(cache) / "few-labels"
    folder.mkdir(parents=True, exist_ok=True)
    for family, name, pool, shots, draw, places in draws(families, cache):
        file = folder / f"{name}.json"
        if file.exists():
            continue
        record, arrays = one(pool, places)
        record |= {"family": family, "pool": pool.name, "shots": shots, "draw": draw}
        with replacing(file.with_suffix(".npz")) as part, part.open("wb") as opened:
            np.savez_compressed(opened, **arrays)  # type: ignore[arg-type]
        with replacing(file) as part:
            part.write_text(json.dumps(record))
        accuracy = {key[2:]: np.mean(p.argmax(1) == arrays["truth"]) for key, p in arrays.items() if key[:2] == "p "}
        best = max(accuracy, key=lambda key: accuracy[key])
        print(f"{name}: {record['seconds']:.1f} s, tuned {accuracy['tuned, standardized']:.3f}, best {best} "
              f"{accuracy[best]:.3f}", flush=True)  # fmt: skip


def renew(families: Sequence[str], cache: Path | None = None) -> None:
    """What the consensus says of every draw that has run, once more: after a change of it."""
    for _, name, pool, _, _, (shown, rest, aside) in draws(families, cache):
        file = root_of(cache) / "few-labels" / f"{name}.npz"
        if not file.exists():
            continue
        with np.load(file) as kept:
            arrays = {key: kept[key] for key in kept}
        x, y = np.asarray(pool.x, dtype=np.float32), pool.labels
        assert pool.classes is not None
        p, held = house("consensus", x[shown], y[shown], x[rest], x[aside], pool.classes)
        arrays |= {"p consensus": p.astype(np.float16), "h consensus": held.astype(np.float16)}
        with replacing(file) as part, part.open("wb") as opened:
            np.savez_compressed(opened, **arrays)  # type: ignore[arg-type]


def draws(families: Sequence[str], cache: Path | None = None) -> Iterator[tuple[str, str, Domain, int, int, Any]]:
    """Family, name, pool, labels a class, draw and positions."""
    found = {family: list(pools(family, cache)) for family in families}
    for draw in range(DRAWS):
        for family, pool, shots in ((f, p, shots) for f in families for p in found[f] for shots in SHOTS):
            if (places := drawn(pool, shots, draw)) is not None:
                called = re.sub(r"[^\w.]+", "-", pool.name)
                yield family, f"{family}--{called}--{shots}--{draw}", pool, shots, draw, places


def slow(families: Sequence[str], cache: Path | None = None) -> None:
    """`fixmatch` on one pool of each family, and on parts of its labels: what the choice by labels left out reads."""
    folder, had = root_of(cache) / "few-labels", set()
    for family, name, pool, shots, draw, (shown, rest, aside) in draws(families, cache):
        if draw or shots != SLOW_SHOTS or family in had:
            continue
        had.add(family)
        file = folder / f"{name}.fixmatch.npz"
        if file.exists():
            continue
        x, y = np.asarray(pool.x, dtype=np.float32), pool.labels
        assert pool.classes is not None
        p = house("fixmatch", x[shown], y[shown], x[rest], x[aside], pool.classes)[0]
        left = []
        for learn, grade in parts_of(y[shown]):
            seen, asked = shown[learn], shown[grade]
            left.append(house("fixmatch", x[seen], y[seen], x[rest], x[asked], pool.classes)[1])
        with replacing(file) as part, part.open("wb") as opened:
            np.savez_compressed(opened, p=p.astype(np.float16), l=np.concatenate(left).astype(np.float16))
        print(f"{name}: fixmatch {np.mean(p.argmax(1) == y[rest]):.3f}", flush=True)


# -- figures -----------------------------------------------------------------------------------------------


def collected(cache: Path | None = None) -> list[Record]:
    """Of every draw that has run: accuracies on the target, on what is held out, and on the labels left out."""
    rows = []
    for file in sorted((root_of(cache) / "few-labels").glob("*.json")):
        record = json.loads(file.read_text(encoding="utf-8"))
        with np.load(file.with_suffix(".npz")) as arrays:
            kept = {key: arrays[key] for key in arrays}
        if (extra := file.with_suffix(".fixmatch.npz")).exists():
            with np.load(extra) as arrays:
                kept |= {"p fixmatch": arrays["p"], "l fixmatch": arrays["l"]}
        for key, heard in MEANS.items():
            kept[f"p mean of {key}"] = np.mean([kept[f"p {name}"].astype(float) for name in heard], axis=0)
        truths = {"accuracy": ("p ", "truth"), "held out": ("h ", "held"), "left out": ("l ", "graded")}
        for part, (letter, truth) in truths.items():
            record[part] = {
                key[2:]: round(float((p.argmax(axis=1) == kept[truth]).mean()), 4)
                for key, p in sorted(kept.items())
                if key.startswith(letter) and len(kept[truth])
            }
        record["graded"] = len(kept["graded"])
        rows.append({key: value for key, value in record.items() if key not in ("seconds", "scores")})
    return rows


def main() -> None:
    """Run, collect, or make the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run", "slow", "renew", "collect", "page"))
    parser.add_argument("--families", nargs="*", default=LEARNT_ON)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if asked.what == "collect":
        rows = ",\n".join(json.dumps(row) for row in collected())
        with replacing(FILE) as part:
            part.write_text(f"[\n{rows}\n]\n", encoding="utf-8")
    elif asked.what == "page":
        page = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(filled(page, tables(json.loads(FILE.read_text(encoding="utf-8")))), encoding="utf-8")
    else:
        with limited_threads():
            {"run": run, "slow": slow, "renew": renew}[asked.what](asked.families)


if __name__ == "__main__":
    main()
