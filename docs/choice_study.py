"""The figures of choosing.md: label-free rules of choice and estimates of accuracy, against the exam.

    python docs/choice_study.py development               20 ordered pairs of emoji styles; a rule may be chosen on them
    python docs/choice_study.py tables --abstracts DIR    16 pairs of tables of digits, measurements and words; the same
    python docs/choice_study.py judging --features DIR    other styles, other subgroups, other data; looked at once
    python docs/choice_study.py fresh --data DIR          letters, MNIST, speakers, languages, flowers; looked at later
    python docs/choice_study.py page                      the tables of choosing.md, from choice_study.json

The emoji take half an hour each on two cores; each adds to choice_study.json what it lacks. The DIR of features holds
da_office_caltech.mat, da_imdb.mat and da_sm_spam.mat of github.com/wmkouw/flda, that of abstracts is
argument_components/original_data of github.com/hitz-zentroa/multilingual-abstrct; without them the cases are left out.
The DIR of data holds the folders mnist-test (MNIST's test files), fsdd (the wav files of takes 0 to 9 of
github.com/Jakobovski/free-spoken-digit-dataset) and abstrct (that of the abstracts, whole).
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import rankdata

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))

from shifts.readers import halves, read_tables
from shifts.readers import sentences as read_sentences

from unseen import encoders
from unseen.compare.cells import run_cell, split_source
from unseen.compare.choice import ENOUGH_LABELS
from unseen.compare.choice import scores as scores_of
from unseen.compare.crafted import held_out_copies
from unseen.compare.estimate import ERROR, estimate, estimates
from unseen.compare.inputs import DEFAULT_ENCODER, Inputs, prepare
from unseen.compare.job import plan
from unseen.compare.validators import (
    AGREEMENT,
    CERTAINTY,
    CRAFTED,
    DENSITY,
    EMBEDDED,
    ENSEMBLE,
    INFORMATION,
    NEIGHBOURS,
    REVERSE,
    SOURCE,
    THRESHOLDED,
    learner_of,
)
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.sources import emoji, in_common
from unseen.evaluation.metrics.selection import correlation
from unseen.validation import vote, weigh, without_doubt

DOCS = Path(__file__).resolve().parent
DEVELOPMENT = ("noto", "twemoji", "openmoji", "fluent-emoji-flat", "fluent-emoji-high-contrast")
JUDGING = ("noto-v1", "emojione", "emojione-monotone", "fxemoji", "fluent-emoji")
METHODS = "source-only,standardize,coral,ot:equal,prototypes,shot,aad,glc:default,glc:global,glc:paper"
"""As `compare` runs them where the classes are equal; glc:no-rejection is the network of glc:default."""

ESTIMATE = "the estimate: reverse validation by neighbours"
FEWEST = 8
"""Emoji of a subgroup that five styles must share for it to be a class of the unseen subgroups."""


@dataclasses.dataclass(frozen=True)
class Case:
    """A labelled domain and one whose labels are the exam."""

    part: str
    source: Domain
    target: Domain

    @property
    def name(self) -> str:
        """What tells it from the other cases."""
        return f"{self.part}: {self.source.name} to {self.target.name}"


# -- data --------------------------------------------------------------------------------------------------


def encoded(domain: Domain) -> Domain:
    """Features of the default encoder."""
    return encoders.get(DEFAULT_ENCODER["image"]).encode(domain)


def development() -> Iterator[Case]:
    """Ordered pairs of five styles, 29 subgroups as classes."""
    domains = in_common(*map(emoji, DEVELOPMENT))
    yield from pairs("emoji styles", by_subgroup(domains, sorted(set(domains[0].columns["subgroup"].tolist()))))


def judging(folder: Path | None) -> Iterator[Case]:
    """Cases that had no part in the design: other styles, other subgroups, other data."""
    for source, target in in_rounds([encoded(emoji(style)) for style in JUDGING]):
        yield from pairs("other styles", in_common(source, target))[:1]
    yield from pairs("other subgroups", other_subgroups())
    if folder is None:
        print("no --features: Office-Caltech, IMDb and spam are left out")
        return
    for part, file in (("Office-Caltech", "office_caltech"), ("IMDb", "imdb"), ("spam", "sm_spam")):
        yield from pairs(part, read_tables(folder / f"da_{file}.mat"))


TABLES = ("digits", "measurements", "abstracts")
"""Parts of the development that are no pictures."""
CRAFTED_PARTS = ("emoji styles", "other styles")
"""Parts whose candidates are asked about crafted copies of source pictures, too."""
FRESH = ("letters", "MNIST", "speakers", "languages", "flowers")
"""Parts that were looked at after the rule and its careful form were fixed."""


def tables_of_development(abstracts: Path | None) -> Iterator[Case]:
    """Pixels of digits in four hands, two classical tables cut at a median, sentences about three kinds of diseases."""
    yield from pairs("digits", digits())
    for name, cut in (("breast_cancer", "mean smoothness"), ("wine", "ash")):
        yield from pairs("measurements", halves(name, cut))
    if abstracts is None:
        print("no --abstracts: sentences of abstracts are left out")
        return
    yield from pairs("abstracts", sentences(abstracts))


def digits(samples: int = 500) -> list[Domain]:
    """Eight by eight pixels: scikit-learn's handwriting, and printed digits as they are and in bold negative."""
    from sklearn.datasets import load_digits

    from unseen.data.sources import digits as drawn

    names = ClassSpace(names=tuple("0123456789"))
    hand, label = load_digits(return_X_y=True)
    found = [Domain(x=(hand / 16).astype(np.float32)[:samples], y=label[:samples], classes=names, name="handwritten")]
    printed = drawn("printed")
    order = np.random.default_rng(0).permutation(len(printed))[: 2 * samples]
    grey = np.stack([np.asarray(printed.x[int(i)].convert("L").resize((8, 8)), dtype=np.float32) for i in order]) / 255
    ink = (1 - grey if grey.mean() > 0.5 else grey).reshape(len(order), 64)
    y = np.array([int(printed.classes.names[k]) for k in printed.labels[order]])  # type: ignore[union-attr]
    half = len(order) // 2
    found.append(Domain(x=ink[:half], y=y[:half], classes=names, name="printed"))
    found.append(Domain(x=np.sqrt(1 - ink[half:]), y=y[half:], classes=names, name="negative"))
    return found


def sentences(folder: Path, samples: int = 600, words: int = 1000) -> list[Domain]:
    """Sentences of abstracts by what they are (claim, premise, neither), as log(1 + count) of the frequent words."""
    from sklearn.feature_extraction.text import CountVectorizer

    names, parts = ("neoplasm_train", "glaucoma_test", "mixed_test"), []
    for name in names:
        read = read_sentences(folder / f"{name}.tsv", name)
        parts.append(read.take(np.random.default_rng(0).permutation(len(read))[:samples]))
    count = CountVectorizer(max_features=words).fit([text for part in parts for text in part.x])
    return [
        part.replace(x=np.log1p(count.transform(part.x).toarray()).astype(np.float32), kind="features", ids=None)
        for part in parts
    ]


def fresh_cases(data: Path) -> Iterator[Case]:
    """Cases that were looked at after all rules were fixed."""
    from fresh_cases import fresh

    yield from (Case(*case) for case in fresh(data))


def in_rounds(items: Sequence[Any]) -> list[tuple[Any, Any]]:
    """Ordered pairs of n in n - 1 rounds, each of them once source and once target in a round: a part is balanced."""
    n = len(items)
    return [(items[i], items[(i + step) % n]) for step in range(1, n) for i in range(n)]


def drawings(features: Domain) -> Domain:
    """The pictures of an emoji style that some features are of, in their order."""
    drawn = emoji(features.name, level="emoji")
    place = {code: i for i, code in enumerate(drawn.columns["emoji"].tolist())}
    return drawn.take(np.array([place[code] for code in features.columns["emoji"].tolist()]))


def pairs(part: str, domains: Any) -> list[Case]:
    """All ordered pairs, in rounds."""
    return [Case(part, source, target) for source, target in in_rounds(domains)]


def other_subgroups() -> list[Domain]:
    """The development styles on subgroups of which no class of the development is made."""
    domains = in_common(*(emoji(style, level="emoji") for style in DEVELOPMENT))
    known = set(emoji(DEVELOPMENT[0]).columns["subgroup"].tolist())
    counts = Counter(domains[0].columns["subgroup"].tolist())
    return by_subgroup(domains, [name for name, n in counts.items() if n >= FEWEST and name not in known])


def by_subgroup(domains: Sequence[Domain], names: Sequence[str]) -> list[Domain]:
    """Features of the emoji of some subgroups, which are the classes."""
    kept = np.isin(domains[0].columns["subgroup"], names)
    y = np.array([names.index(label) for label in domains[0].columns["subgroup"][kept]])
    return [encoded(domain.take(kept)).with_labels(y, ClassSpace(names=tuple(names))) for domain in domains]


# -- measuring ---------------------------------------------------------------------------------------------


def measure(case: Case, folder: Path | None, seeds: int) -> dict[str, Any]:
    """Each candidate's accuracy on the exam beside its label-free scores and estimates."""
    inputs = prepare(source=case.source, target=case.target)
    if case.part in CRAFTED_PARTS:
        asked, encoder = drawings(case.source), encoders.get(DEFAULT_ENCODER["image"])
        inputs.crafted = {seed: held_out_copies(inputs.source, asked, seed, encoder) for seed in range(seeds)}
    cells = fitted(inputs, plan(inputs, METHODS, seeds).candidates, seeds, folder)
    validators = scores_of(cells)
    truth = inputs.exams["adapted"].open()
    candidates = {
        name: {
            "accuracy": float(np.mean([np.mean(cell["adapted"]["prediction"] == truth) for cell in group])),
            "validators": {v: float(np.mean(values)) for v, values in validators[name].items()},
            "estimates": estimates(validators[name], group),
            "held out": right_on_held_out(inputs, group[0]),
        }
        for name, group in cells.items()
    }
    samples = {"source": len(case.source), "target": len(case.target), "exam": len(truth)}
    told = {"name": case.name, "part": case.part, "samples": samples, "learns back": learner_of(inputs.source)}
    return {**told, "candidates": candidates}


def right_on_held_out(inputs: Inputs, cell: Mapping[str, Any]) -> str:
    """A 1 for each sample right, a 0 for each wrong, of the fifth that no fit saw: labels to draw a support from."""
    if "held out" not in inputs.exams:
        return ""
    right = cell["held out"]["prediction"] == inputs.exams["held out"].open()
    return "".join(map(str, right.astype(int)))


def fitted(inputs: Inputs, candidates: Any, seeds: int, folder: Path | None) -> dict[str, list[dict[str, Any]]]:
    """All cells, by candidate in the order of the seeds."""
    cells: dict[str, list[dict[str, Any]]] = {}
    for seed in range(seeds):
        learn, aside = split_source(inputs.source, seed)
        given, check = inputs.given(inputs.source.take(learn), seed), inputs.source.take(aside)
        for slug, preset in candidates:
            name = slug if preset == "default" else f"{slug}:{preset}"
            cells.setdefault(name, []).append(run_cell(inputs, given, check, slug, preset, seed, folder))
    return cells


# -- rules -------------------------------------------------------------------------------------------------

Scores = Mapping[str, Mapping[str, float]]
"""{validator: {candidate: score}}, and the same of the two reverse validations as `BACK` and `OTHER`."""
Rule = Callable[[Scores, int, bool], Mapping[str, float]]
"""Votes from scores, the samples of the smaller domain, and whether a pretrained encoder made the features."""
SINGLE = (REVERSE, NEIGHBOURS, SOURCE, EMBEDDED, INFORMATION, CERTAINTY, DENSITY, AGREEMENT, ENSEMBLE)
BACK, OTHER = "the reverse validation that ranks", "the one that does not"
ENCODED = ("emoji styles", "other styles", "other subgroups", "letters", "languages")
"""Parts whose features are those of a pretrained encoder; the others are tables as somebody has them."""


def rules() -> dict[str, Rule]:
    """Each rule by name; the first is the default, then the same never and always careful."""
    return {
        "`compare`: reverse validation, source-only in doubt, careful with tables": lambda v, n, encoded: default(
            v, n, careful=not encoded
        ),
        "`--no-careful`: reverse validation, source-only in doubt": lambda v, n, _: default(v, n, careful=False),
        "`--careful`: the same, clearly better by both, not below in embedded validation": lambda v, n, _: default(
            v, n, careful=True
        ),
        "before: reverse validation by means alone, source-only in doubt, careful with tables": (
            lambda v, n, encoded: without_doubt(v[REVERSE], n, errors=1.0, keep=None if encoded else v[EMBEDDED])
        ),
        "doubt by the reverse validation that ranks alone": lambda v, n, encoded: without_doubt(
            v[BACK], n, keep=None if encoded else v[EMBEDDED]
        ),
        "neighbours alone, source-only in doubt": lambda v, n, encoded: without_doubt(
            v[NEIGHBOURS], n, keep=None if encoded else v[EMBEDDED]
        ),
        "information, of those that keep the source": lambda v, n, _: vote(v[INFORMATION], v[SOURCE]),
        "mean rank of reverse validation and information": lambda v, n, _: mean_rank(v, BACK, INFORMATION),
        "mean rank of reverse, source and information": lambda v, n, _: mean_rank(v, BACK, SOURCE, INFORMATION),
        "mean rank of all": lambda v, n, _: mean_rank(v, *SINGLE),
        **{name: lambda v, n, _, name=name: v[name] for name in SINGLE},
    }


def crafted_rules() -> dict[str, Rule]:
    """Each validator alone, the default, and two ways to join crafted validation to it, fixed before any figure."""
    return {
        **{name: lambda v, n, _, name=name: v[name] for name in (*SINGLE, CRAFTED)},
        "`compare`": lambda v, n, _: default(v, n, careful=False),
        "crafted validation in the place of the other reverse validation": lambda v, n, _: without_doubt(
            v[BACK], n, keep=v[CRAFTED]
        ),
        "mean rank of reverse and crafted validation": lambda v, n, _: mean_rank(v, BACK, CRAFTED),
    }


def has_crafted(case: Mapping[str, Any]) -> bool:
    """Whether the candidates of a case have a crafted validation."""
    return all(CRAFTED in row["validators"] for row in case["candidates"].values())


def default(scores: Scores, samples: int, *, careful: bool) -> dict[str, float]:
    """Rank by one reverse validation what is clearly better by it; with care by both."""
    if careful:
        return without_doubt(scores[BACK], samples, keep=scores[EMBEDDED], also=scores[OTHER])
    return without_doubt(scores[BACK], samples, keep=scores[OTHER])


def fewest(case: Mapping[str, Any]) -> int:
    """Samples of the smaller domain: what a standard error of reverse validation stands on."""
    return min(case["samples"]["source"], case["samples"]["exam"])


def with_reverse(scores: dict[str, dict[str, float]], case: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Scores with those of the two reverse validations by their part in the choice."""
    back = case["learns back"]
    return {**scores, BACK: scores[back], OTHER: scores[REVERSE if back == NEIGHBOURS else NEIGHBOURS]}


def mean_rank(scores: Scores, *validators: str) -> dict[str, float]:
    """The sum of ranks over validators."""
    names = list(scores[validators[0]])
    ranks = np.sum([rankdata([scores[v][name] for name in names]) for v in validators], axis=0)
    return dict(zip(names, ranks.tolist()))


def chosen(case: Mapping[str, Any], rule: Any, pool: Sequence[str] | None = None) -> str:
    """What a rule chooses, of all candidates or of a pool."""
    rows = {name: row for name, row in case["candidates"].items() if pool is None or name in pool}
    validators = next(iter(rows.values()))["validators"]
    scores = {v: {n: row["validators"][v] for n, row in rows.items()} for v in validators}
    votes = rule(with_reverse(scores, case), fewest(case), case["part"] in ENCODED)
    return max(rows, key=lambda name: votes[name])


def judged(cases: Sequence[Mapping[str, Any]], rule: Any, pools: Sequence[Any] = (None,)) -> dict[str, float]:
    """Mean accuracy, mean and largest regret, worst gain over source-only, share of harm, over cases and pools."""
    rows = []
    for case, pool in itertools.product(cases, pools):
        accuracy = {name: row["accuracy"] for name, row in case["candidates"].items() if pool is None or name in pool}
        got = max(accuracy.values()) if rule is None else accuracy[chosen(case, rule, pool)]
        rows.append((got, max(accuracy.values()) - got, got - accuracy["source-only"]))
    got, regret, gain = np.array(rows).T
    return {
        "accuracy": got.mean(), "regret": regret.mean(), "largest": regret.max(),
        "worst": gain.min(), "harm": (gain < -0.01).mean(), "gain": gain.mean(),
    }  # fmt: skip


def all_pools(case: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Source-only with every choice of at least two other candidates."""
    others = [name for name in case["candidates"] if name != "source-only"]
    some = (itertools.combinations(others, k) for k in range(2, len(others) + 1))
    return [("source-only", *pool) for pool in itertools.chain.from_iterable(some)]


# -- the page ----------------------------------------------------------------------------------------------


def tables(cases: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The tables of choosing.md, by name."""
    first = [case for case in cases if case["part"] == "emoji styles"]
    tables = [case for case in cases if case["part"] in TABLES]
    later = [case for case in cases if case["part"] in FRESH]
    rest = [case for case in cases if case["part"] not in ("emoji styles", *TABLES, *FRESH)]
    out = {"development": rule_table(first, all_pools(first[0])), "estimates": estimate_table(first, rest)}
    out["support"] = support_table(first)
    asked = {part: [case for case in cases if case["part"] == part and has_crafted(case)] for part in CRAFTED_PARTS}
    if asked[CRAFTED_PARTS[0]]:
        out["crafted"] = crafted_table(*asked.values())
    if tables:
        out["tables"] = rule_table(tables)
        out["doubt"] = doubt_table(first, tables)
    if rest:
        parts = {
            part: [case for case in rest if case["part"] == part] for part in dict.fromkeys(c["part"] for c in rest)
        }
        out["judging"] = rule_table(rest)
        out["parts"] = part_table(parts)
        out["support judging"] = support_table(rest)
        out["worst"] = worst_table(rest)
    if later:
        out["fresh"] = rule_table(later)
        out["fresh parts"] = part_table({p: [c for c in later if c["part"] == p] for p in FRESH})
    return out


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def rule_table(cases: Sequence[Mapping[str, Any]], pools: Sequence[Any] = ()) -> str:
    """Rules against the exam."""
    header = ["rule", "accuracy", "regret", "largest regret", "worst against `source-only`", "harm"]
    rows = []
    for name, rule in {**rules(), "the best candidate by the exam (an oracle)": None}.items():
        got = judged(cases, rule)
        row = [name, f"{got['accuracy']:.3f}", f"{got['regret']:.3f}", f"{got['largest']:.3f}", f"{got['worst']:+.3f}"]
        row.append(f"{got['harm']:.2f}")
        if pools:
            over = judged(cases, rule, pools)
            row += [f"{over['regret']:.3f}", f"{over['harm']:.3f}"]
        rows.append(row)
    return markdown(header + (["regret over pools", "harm over pools"] if pools else []), rows)


def crafted_table(first: Sequence[Mapping[str, Any]], rest: Sequence[Mapping[str, Any]]) -> str:
    """Validators and rules where crafted validation was measured: how they rank candidates, and what they choose."""
    header = ["rule", f"development ({len(first)} pairs): rank correlation", "accuracy", "regret", "harm"]
    header += ["regret over pools", "harm over pools"]
    header += [f"judging ({len(rest)} pairs): rank correlation", "accuracy", "regret", "harm"] if rest else []
    rows = []
    for name, rule in {**crafted_rules(), "the best candidate by the exam (an oracle)": None}.items():
        row = [name]
        for cases in (first, rest) if rest else (first,):
            got = judged(cases, rule)
            row += [f"{ranked(cases, name):+.2f}" if name in (*SINGLE, CRAFTED) else ""]
            row += [f"{got['accuracy']:.3f}", f"{got['regret']:.3f}", f"{got['harm']:.2f}"]
            if cases is first:
                over = judged(cases, rule, all_pools(first[0]))
                row += [f"{over['regret']:.3f}", f"{over['harm']:.3f}"]
        rows.append(row)
    return markdown(header, rows)


def ranked(cases: Sequence[Mapping[str, Any]], validator: str) -> float:
    """Spearman's correlation of a validator with the exam over candidates, the mean over cases."""
    found = []
    for case in cases:
        rows = case["candidates"].values()
        scores = [row["validators"][validator] for row in rows]
        found.append(correlation(scores, [row["accuracy"] for row in rows], draws=2).spearman)
    return float(np.mean(found))


def doubt_table(first: Sequence[Mapping[str, Any]], tables: Sequence[Mapping[str, Any]]) -> str:
    """By how many standard errors a candidate must be better than source-only to be chosen."""
    header = ["standard errors", "emoji: accuracy", "harm", "harm over pools", "tables: accuracy", "worst", "harm"]
    rows = []
    for errors_ in (0.0, 0.5, 1.0, 1.5, 2.0, 3.0):
        rule = lambda v, n, _, errors_=errors_: without_doubt(v[BACK], n, errors=errors_, keep=v[OTHER])
        on, over, off = judged(first, rule), judged(first, rule, all_pools(first[0])), judged(tables, rule)
        row = [f"{errors_:g}", f"{on['accuracy']:.3f}", f"{on['harm']:.2f}", f"{over['harm']:.3f}"]
        rows.append([*row, f"{off['accuracy']:.3f}", f"{off['worst']:+.3f}", f"{off['harm']:.3f}"])
    return markdown(header, rows)


def part_table(parts: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """The default rule, its bold and its careful form, and the one before it, on each part."""
    header = ["data", "pairs", "source-only", "chosen", "oracle", "regret", "worst", "harm"]
    header += ["chosen by `--no-careful`", "its harm", "chosen by `--careful`", "its harm", "harm of the rule before"]
    now, bold, careful, before = itertools.islice(rules().values(), 4)
    rows = []
    for part, cases in parts.items():
        got, oracle, daring, safe, old = (judged(cases, rule) for rule in (now, None, bold, careful, before))
        figures = (got["accuracy"] - got["gain"], got["accuracy"], oracle["accuracy"], got["regret"])
        told = [f"{value:.3f}" for value in figures]
        told += [f"{got['worst']:+.3f}", f"{got['harm']:.2f}"]
        told += [f"{other[key]:.3f}" for other in (daring, safe) for key in ("accuracy", "harm")]
        rows.append([part, str(len(cases)), *told, f"{old['harm']:.2f}"])
    return markdown(header, rows)


def support_table(cases: Sequence[Mapping[str, Any]], draws: int = 10) -> str:
    """Rules that read a few labels of the target, drawn from the part that no fit saw; regret and harm."""
    rows = []
    for n in (0, 10, 20, 60, 150):
        found: dict[str, list[tuple[float, float]]] = {}
        for case, draw in itertools.product(cases, range(draws)):
            candidates = case["candidates"]
            accuracy = {name: row["accuracy"] for name, row in candidates.items()}
            scores = {v: {n: row["validators"][v] for n, row in candidates.items()} for v in (REVERSE, NEIGHBOURS)}
            reverse = with_reverse(scores, case)
            right = {name: np.array(list(row["held out"]), dtype=int) for name, row in candidates.items()}
            index = np.random.default_rng(draw).permutation(len(right["source-only"]))[:n]
            on_labels = {name: float(values[index].mean()) for name, values in right.items()} if n else {}
            weighed = {v: weigh(reverse[v], on_labels, len(index)) if n else reverse[v] for v in (BACK, OTHER)}
            weighed[EMBEDDED] = {name: row["validators"][EMBEDDED] for name, row in candidates.items()}
            careful = case["part"] not in ENCODED and len(index) < ENOUGH_LABELS
            chosen_by = {"weighed": default(weighed, fewest(case) + len(index), careful=careful)}
            if n:
                chosen_by["labels"] = on_labels
            for rule, votes in chosen_by.items():
                got = accuracy[max(votes, key=lambda name: votes[name])]
                found.setdefault(rule, []).append((max(accuracy.values()) - got, got - accuracy["source-only"]))
        row = [str(n)]
        for rule in ("weighed", "labels"):
            regret, gain = np.array(found.get(rule, [(np.nan, np.nan)])).T
            row += [f"{regret.mean():.3f}", f"{(gain < -0.01).mean():.3f}"] if rule in found else ["", ""]
        rows.append(row)
    return markdown(["labels", "regret", "harm", "regret by labels alone", "harm by labels alone"], rows)


def worst_table(cases: Sequence[Mapping[str, Any]], most: int = 8) -> str:
    """The cases in which the default rule lost most against the oracle."""
    rule = next(iter(rules().values()))
    rows = []
    for case in cases:
        accuracy = {name: row["accuracy"] for name, row in case["candidates"].items()}
        name, best = chosen(case, rule), max(accuracy, key=lambda key: accuracy[key])
        rows.append(
            (accuracy[best] - accuracy[name], case["name"], name, best, accuracy[name], accuracy["source-only"])
        )
    return markdown(
        ["case", "chosen", "oracle's choice", "accuracy", "source-only", "regret"],
        [
            [case, name, best, f"{got:.3f}", f"{floor:.3f}", f"{regret:.3f}"]
            for regret, case, name, best, got, floor in sorted(rows, reverse=True)[:most]
        ],
    )


def errors(cases: Sequence[Mapping[str, Any]], only_chosen: bool) -> dict[str, np.ndarray]:
    """Estimate minus accuracy, by estimator: of all candidates, or of the one that the default rule chooses."""
    rule = next(iter(rules().values()))
    found: dict[str, list[float]] = {}
    for case in cases:
        for name in [chosen(case, rule)] if only_chosen else case["candidates"]:
            row = case["candidates"][name]
            told = {name: row["estimates"][name] for name in (REVERSE, AGREEMENT, THRESHOLDED)}
            told[ESTIMATE] = row["validators"][NEIGHBOURS]
            for estimator, value in told.items():
                found.setdefault(estimator, []).append(value - row["accuracy"])
    return {name: np.array(values) for name, values in found.items()}


def estimate_table(first: Sequence[Mapping[str, Any]], rest: Sequence[Mapping[str, Any]]) -> str:
    """How far estimates are off."""
    groups = [("development, all candidates", first, False), ("development, chosen", first, True)]
    if rest:
        groups += [("judging, all candidates", rest, False), ("judging, chosen", rest, True)]
    columns = [errors(cases, only) for _, cases, only in groups]
    rows = [
        [name, *(f"{np.abs(column[name]).mean():.3f} ({np.abs(column[name]).max():.3f})" for column in columns)]
        for name in columns[0]
    ]
    return markdown(["mean absolute error (worst)", *(told for told, _, _ in groups)], rows)


def coverage(cases: Sequence[Mapping[str, Any]], only_chosen: bool) -> float:
    """The share of accuracies inside the interval that `compare` gives."""
    rule = next(iter(rules().values()))
    inside = []
    for case in cases:
        for name in [chosen(case, rule)] if only_chosen else case["candidates"]:
            row = case["candidates"][name]
            found = {NEIGHBOURS: row["validators"][NEIGHBOURS]}
            low, high = estimate(found, case["samples"]["exam"])["interval"]  # type: ignore[index]
            inside.append(low <= row["accuracy"] <= high)
    return float(np.mean(inside))


def put(page: str, tables: Mapping[str, str]) -> None:
    """Put tables between their marks into a page."""
    file = DOCS / page
    text = file.read_text(encoding="utf-8")
    for name, told in tables.items():
        head, rest = text.split(f"<!-- {name} -->\n")
        text = f"{head}<!-- {name} -->\n{told}\n<!-- end -->" + rest.split("<!-- end -->", 1)[1]
    replaced(file, text)


# -- the command -------------------------------------------------------------------------------------------


def replaced(file: Path, text: str) -> None:
    """Write another name first, then rename."""
    temporary = file.with_name(f".{file.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(file)


def main() -> None:
    """Measure, or write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["development", "tables", "judging", "fresh", "page"])
    parser.add_argument(
        "--abstracts", type=Path, help="folder with neoplasm_train.tsv, glaucoma_test.tsv, mixed_test.tsv"
    )
    parser.add_argument("--features", type=Path, help="folder with da_office_caltech.mat, da_imdb.mat, da_sm_spam.mat")
    parser.add_argument("--data", type=Path, help="folder with mnist-test, fsdd and abstrct")
    parser.add_argument("--cells", type=Path, help="folder to keep fits in, so that a killed study goes on")
    parser.add_argument("--seeds", type=int, default=1)
    given = parser.parse_args()
    file = DOCS / "choice_study.json"
    cases = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
    if given.what == "page":
        put("choosing.md", tables(cases))
        seen = [case for case in cases if case["part"] in ("emoji styles", *TABLES)]
        off = np.abs(errors(seen, only_chosen=True)[ESTIMATE])
        print(f"nine tenths of the errors are below {np.quantile(off, 0.9, method='higher'):.3f}; ERROR is {ERROR}")
        for only in (False, True):
            told = coverage([case for case in cases if case not in seen], only)
            print(f"other cases, {'chosen' if only else 'all'}: {told:.2f} are inside the interval")
        return
    known = {case["name"]: case for case in cases}
    kinds = {
        "development": development,
        "tables": lambda: tables_of_development(given.abstracts),
        "judging": lambda: judging(given.features),
        "fresh": lambda: fresh_cases(given.data),
    }
    for case in kinds[given.what]():
        before = known.get(case.name)
        if before is not None and (has_crafted(before) or case.part not in CRAFTED_PARTS):
            continue
        folder = None if given.cells is None else given.cells / case.part / f"{case.source.name}--{case.target.name}"
        known[case.name] = measure(case, folder and folder / "cells", given.seeds)
        replaced(file, json.dumps(list(known.values()), indent=1, ensure_ascii=False))
        print(case.name, flush=True)


if __name__ == "__main__":
    main()
