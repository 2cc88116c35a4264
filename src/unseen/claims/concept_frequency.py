"""The claim on concept frequency: accuracy rises with the logarithm of how often a concept was shown."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from unseen.claims.base import Assertion, Claim, Experiment, at_least, at_most, better, equals
from unseen.claims.frequency_ladder import (
    PROMPTS,
    RUNGS_OF_EMOJI,
    TEST,
    World,
    corpus,
    emoji_world,
    ladder,
    pretrain,
    split,
    split_emoji,
    world,
)
from unseen.data.typing import FloatArray, IntArray
from unseen.methods.curation.concept_frequency import (
    ConceptIndex,
    bootstrap,
    build_long_tail_set,
    fit_log_linear,
    rare_concepts,
    without_similar,
)
from unseen.methods.curation.concept_frequency.fit import log_counts, pearson
from unseen.methods.curation.concept_frequency.long_tail import LongTailSet
from unseen.runtime import without_checkpoints

Result = dict[str, dict[str, float]]

RUNGS = tuple(round(1.62**r) for r in range(10))
"""1, 2, 3, 4, 7, 11, 18, 29, 47, 77."""
SHORT = tuple(round(1.5**r) for r in range(10))
"""1, 2, 2, 3, 5, 8, 11, 17, 26, 38: where part of the data is set aside."""
EVEN = tuple(np.linspace(1, 77, 10).round().astype(int).tolist())
"""The same ends with equal steps in place of equal factors."""
ORDERS = 6


def described(counts: Sequence[NDArray], scores: Sequence[NDArray]) -> dict[str, float]:
    """The figures of a fit over the points of several orders."""
    x, y = np.concatenate(counts), np.concatenate(scores)
    found, spread = fit_log_linear(x, y), bootstrap(x, y, draws=300)
    rungs = np.unique(x)
    means = np.array([y[x == rung].mean() for rung in rungs])
    return {
        "r of means": pearson(log_counts(rungs), means)[0],
        "r of means, linear": pearson(rungs.astype(float), means)[0],
        "r": found.r,
        "r of linear": found.linear_r,
        "raw r": found.raw_r,
        "raw r of linear": found.linear_raw_r,
        "slope per decade": found.slope_per_decade,
        "least slope per decade": spread.slope_per_decade[0],
        "AIC of linear minus log": found.aic_linear - found.aic_log,
    }


def within_concepts(counts: Sequence[NDArray], scores: Sequence[NDArray]) -> float:
    """Correlation once every concept's own mean is taken off both sides: what is left is frequency alone."""
    x, y = log_counts(np.stack(counts)), np.stack(scores)
    return pearson((x - x.mean(axis=0)).ravel(), (y - y.mean(axis=0)).ravel())[0]


def searched(of: World, captions: Sequence[str]) -> IntArray:
    """Counts of all concepts by the library's own search over the captions."""
    return ConceptIndex.from_captions(captions).counts(of.concepts)


@without_checkpoints()
def run_ladder(case: str, seed: int) -> Result:
    """Ten concepts, one to 77 pairs, in six random orders; accuracies under three styles of prompts."""
    of = world(case)
    test, pool = split(of, seed, TEST)
    counts: list[IntArray] = []
    scores: dict[str, list[FloatArray]] = {style: [] for style in PROMPTS}
    wrong = 0
    for order in range(ORDERS):
        sizes = ladder(RUNGS, 1000 * seed + order)
        chosen, captions = corpus(of, pool, sizes, 1000 * seed + order)
        counts.append(searched(of, captions))
        wrong += int(np.abs(counts[-1] - sizes).sum())
        model = pretrain(of, chosen, captions, 1000 * seed + order)
        for style in PROMPTS:
            scores[style].append(model.accuracy(of, test, style))
    out: Result = {style: described(counts, own) for style, own in scores.items()}
    out["ensemble"]["within concepts"] = within_concepts(counts, scores["ensemble"])
    shuffle = np.random.default_rng(seed).permutation
    out["permuted accuracies"] = described(counts, [shuffle(one) for one in scores["ensemble"]])
    out["search"] = {"captions counted wrongly": float(wrong)}
    return out


@without_checkpoints()
def run_synthetic(case: str, seed: int) -> Result:
    """Purely rendered pictures, with counts spread by equal factors and by equal steps."""
    of = world(case)
    test, pool = split(of, seed, TEST)
    out: Result = {}
    for arm, rungs in {"equal factors": RUNGS, "equal steps": EVEN}.items():
        counts, scores = [], []
        for order in range(ORDERS):
            sizes = ladder(rungs, 2000 * (seed + 1) + order)
            chosen, captions = corpus(of, pool, sizes, 2000 * (seed + 1) + order)
            counts.append(searched(of, captions))
            scores.append(pretrain(of, chosen, captions, order).accuracy(of, test))
        out[arm] = described(counts, scores)
    slopes = [out[arm]["slope per decade"] for arm in ("equal factors", "equal steps")]
    out["both"] = {"ratio of slopes": max(slopes) / max(min(slopes), 1e-9)}
    return out


@without_checkpoints()
def run_similarity(case: str, seed: int) -> Result:
    """The same after removing pretraining samples that are nearer to the test set than a benchmark's training set."""
    of = world(case)
    test, rest = split(of, seed, 200)
    train, pool = rest[:600], rest[600:]
    out: dict[str, tuple[list[NDArray], list[NDArray]]] = {"all": ([], []), "without similar": ([], [])}
    gone = []
    for order in range(ORDERS):
        sizes = ladder(SHORT, 3000 * (seed + 1) + order)
        chosen, captions = corpus(of, pool, sizes, 3000 * (seed + 1) + order)
        stays = without_similar(of.x[chosen], of.x[test], of.x[train])
        gone.append(1 - stays.mean())
        for arm, kept in {"all": np.ones(len(chosen), bool), "without similar": stays}.items():
            own = [caption for caption, stay in zip(captions, kept) if stay]
            out[arm][0].append(searched(of, own))
            out[arm][1].append(pretrain(of, chosen[kept], own, order).accuracy(of, test))
    result = {arm: described(*points) for arm, points in out.items()}
    result["without similar"]["share removed"] = float(np.mean(gone))
    return result


WIDTHS = {"narrow": 32, "middle": 64, "wide": 256}


@without_checkpoints()
def run_long_tail(case: str, seed: int) -> Result:
    """A test set of the four rarest concepts beside a balanced one of equal size, for three sizes of model."""
    of = world(case)
    test, pool = split(of, seed, TEST)
    drops: dict[str, list[float]] = {name: [] for name in WIDTHS}
    levels: dict[str, list[float]] = {"long-tailed": [], "balanced": []}
    for order in range(ORDERS // 2):
        sizes = ladder(RUNGS, 4000 * (seed + 1) + order)
        chosen, captions = corpus(of, pool, sizes, 4000 * (seed + 1) + order)
        rare = [of.concepts[i] for i in rare_concepts(of.concepts, searched(of, captions), 4)]
        tail = long_tailed(of, test, rare, 25)
        even = long_tailed(of, test, of.concepts, 10)
        for name, hidden in WIDTHS.items():
            model = pretrain(of, chosen, captions, order, hidden)
            reached = [100 * float((model.predict(of, rows) == of.y[rows]).mean()) for rows in (tail, even)]
            drops[name].append(reached[1] - reached[0])
            levels["long-tailed"].append(reached[0])
            levels["balanced"].append(reached[1])
    out: Result = {name: {"drop": float(np.mean(own))} for name, own in drops.items()}
    out["least of all"] = {"drop": float(np.min([one["drop"] for one in out.values()]))}
    return out | {name: {"accuracy": float(np.mean(own))} for name, own in levels.items()}


def long_tailed(of: World, rows: IntArray, names: Sequence[str], n: int) -> IntArray:
    """Samples of a balanced test set of these concepts, by `build_long_tail_set`; small pictures repeat no hash."""
    from unseen.data.classes import ClassSpace
    from unseen.data.domain import Domain

    given = of.x[rows] if of.pictures is None else of.pictures.take(rows).x
    kind = "features" if of.pictures is None else "image"
    ids = np.array([str(i) for i in rows])
    pictures = Domain(x=given, y=of.y[rows], kind=kind, classes=ClassSpace(names=of.concepts), ids=ids)  # type: ignore[arg-type]
    found: LongTailSet = build_long_tail_set(pictures, n, 0 if of.pictures is not None else None, rare=names)
    assert found.domain.ids is not None
    return np.array([int(i) for i in found.domain.ids])


@without_checkpoints()
def run_emoji(case: str, seed: int) -> Result:
    """Subgroups of emoji as concepts, one to 32 drawings of each; other emoji of them, in all styles, to test on."""
    of, codes = emoji_world(case)
    test, pool = split_emoji(of, codes, seed)
    rungs = np.resize(np.asarray(RUNGS_OF_EMOJI), len(of.concepts))
    counts, scores = [], []
    for order in range(ORDERS // 2):
        sizes = ladder(rungs.tolist(), 5000 * (seed + 1) + order)
        chosen, captions = corpus(of, pool, sizes, 5000 * (seed + 1) + order)
        counts.append(searched(of, captions))
        scores.append(pretrain(of, chosen, captions, order).accuracy(of, test))
    return {"ensemble": described(counts, scores) | {"within concepts": within_concepts(counts, scores)}, "concepts": {"n": float(len(of.concepts))}}


# -- the ledger --------------------------------------------------------------------------------------------

mechanism = functools.partial(Assertion, level="mechanism")
promised = functools.partial(Assertion, level="effect", promised=True)
effect = functools.partial(Assertion, level="effect")
paper_scale = functools.partial(Assertion, level="paper scale")
not_testable = functools.partial(Assertion, level="not testable")

DEVELOPMENT, CONFIRMATION = ("handwritten", "printed"), ("ABCDEFGHIJ", "KLMNOPQRST")

claim = Claim(
    slug="concept-frequency",
    parts=("unseen.claims.frequency_ladder",),
    experiments={
        "ladder": Experiment(
            run=run_ladder, development=DEVELOPMENT, confirmation=CONFIRMATION, unit="pictures of ten concepts"
        ),
        "synthetic": Experiment(
            run=run_synthetic, development=("printed", "abdefghijn"), confirmation=CONFIRMATION, unit="rendered concepts"
        ),
        "similarity": Experiment(
            run=run_similarity, development=DEVELOPMENT, confirmation=CONFIRMATION, unit="pictures of ten concepts"
        ),
        "long tail": Experiment(
            run=run_long_tail, development=DEVELOPMENT, confirmation=CONFIRMATION, unit="pictures of ten concepts"
        ),
        "emoji": Experiment(
            run=run_emoji,
            development=("noto+openmoji+twemoji",),
            confirmation=("fluent-emoji-flat+emojione+noto-v1",),
            unit="three vendors",
        ),
    },
    ledger=(),
)
