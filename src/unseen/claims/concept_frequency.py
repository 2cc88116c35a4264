"""The claim on concept frequency: accuracy rises with the logarithm of how often a concept was shown."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unseen.claims import frequency_ladder as ladders
from unseen.claims import worlds
from unseen.claims.base import Claim, Experiment, Result, seeds
from unseen.claims.conditions import at_least, at_most, better, equals, not_worse
from unseen.claims.drawings import of_vendors
from unseen.claims.ledger import effect, mechanism, not_testable, paper_scale, promised
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.typing import FloatArray, IntArray
from unseen.methods.curation.concept_frequency import (
    ConceptIndex,
    build_long_tail_set,
    fit_log_linear,
    rare_concepts,
    without_similar,
)
from unseen.methods.curation.concept_frequency.fit import least_squares, log_counts, pearson
from unseen.methods.curation.concept_frequency.long_tail import LongTailSet
from unseen.runtime import without_checkpoints

RUNGS = tuple(round(1.62**r) for r in range(10))
"""1, 2, 3, 4, 7, 11, 18, 29, 47, 77."""
SHORT = tuple(round(1.5**r) for r in range(10))
"""1, 2, 2, 3, 5, 8, 11, 17, 26, 38: where part of the data is set aside."""
EVEN = tuple(round(1 + 4.2 * r) for r in range(10))
"""1, 5, 9, 14, 18, 22, 26, 30, 35, 39: equal steps in place of equal factors, 199 pairs as `RUNGS` has."""
ORDERS, FEW, BENT = 6, 4, 2
DRAWS = 300


def described(counts: Sequence[NDArray], scores: Sequence[NDArray]) -> dict[str, float]:
    """The figures of a fit over the points of several orders."""
    x, y = np.concatenate(counts), np.concatenate(scores)
    fit = fit_log_linear(x, y)
    rungs = np.unique(x)
    means = np.array([y[x == rung].mean() for rung in rungs])
    return {
        "r of means": pearson(log_counts(rungs), means)[0],
        "r": fit.r,
        "raw r": fit.raw_r,
        "slope per decade": fit.slope_per_decade,
        "least slope per decade": least_slope(counts, scores),
        "AIC of linear minus log": fit.aic_linear - fit.aic_log,
    }


def least_slope(counts: Sequence[NDArray], scores: Sequence[NDArray]) -> float:
    """Lower end of the 95 % interval of the slope per decade: orders are drawn anew, and concepts within each."""
    x, y = log_counts(np.stack(counts)), np.stack(scores)
    rng, slopes = np.random.default_rng(0), []
    for _ in range(DRAWS):
        orders = rng.integers(len(x), size=len(x))[:, None]
        drawn = orders, rng.integers(x.shape[1], size=x.shape)
        if np.ptp(x[drawn]) > 0:
            slopes.append(least_squares(x[drawn].ravel(), y[drawn].ravel())[0])
    return float(np.quantile(slopes, (1 - 0.95) / 2) * np.log(10))


def against_counts(counts: Sequence[NDArray], scores: Sequence[NDArray]) -> dict[str, float]:
    """The same correlations with the count itself in the place of its logarithm."""
    x, y = np.concatenate(counts), np.concatenate(scores)
    rungs = np.unique(x)
    means = np.array([y[x == rung].mean() for rung in rungs])
    fit = fit_log_linear(x, y)
    return {"r of means": pearson(rungs.astype(float), means)[0], "r": fit.linear_r, "raw r": fit.linear_raw_r}


def within_concepts(counts: Sequence[NDArray], scores: Sequence[NDArray]) -> float:
    """Correlation once every concept's own mean is taken off both sides: what is left is frequency alone."""
    x, y = log_counts(np.stack(counts)), np.stack(scores)
    return pearson((x - x.mean(axis=0)).ravel(), (y - y.mean(axis=0)).ravel())[0]


def searched(of: ladders.World, captions: Sequence[str]) -> IntArray:
    """Counts of all concepts by the library's own search over the captions."""
    return ConceptIndex.from_captions(captions).counts(of.concepts)


class Drawn(NamedTuple):
    """One order of the rungs: the size of each concept, samples and captions, and what is counted in these."""

    sizes: IntArray
    chosen: IntArray
    captions: list[str]
    counts: IntArray


def orders(of: ladders.World, pool: IntArray, rungs: Sequence[int], first: int, n: int) -> Iterator[Drawn]:
    """So many random orders of the rungs, with seeds from the first."""
    for seed in range(first, first + n):
        sizes = ladders.ladder(rungs, seed)
        chosen, captions = ladders.corpus(of, pool, sizes, seed)
        yield Drawn(sizes, chosen, captions, searched(of, captions))


def first_drawn(of: ladders.World, test: IntArray, pool: IntArray, rungs: Sequence[int], first: int) -> dict[str, Any]:
    """What a cell draws, for its stamp: the first order, and some things of the world with all concepts."""
    return {"order": next(orders(of, pool, rungs, first, 1)), "test": test, "x": of.x[test[:20]], "y": of.y}


def drawn_of_pictures(
    case: str, seed: int, deviation: float = ladders.NOISE, first: tuple[int, int] = (1000, 0),
    rungs: Sequence[int] = RUNGS,
) -> dict[str, Any]:  # fmt: skip
    """The same of the cells that read pictures; their orders have seeds from the first number, times the cell's seed
    plus the second one."""
    of = ladders.world(case, deviation)
    return first_drawn(of, *ladders.split(of, seed, ladders.TEST), rungs, first[0] * (seed + first[1]))


def drawn_of_emoji(case: str, seed: int) -> dict[str, Any]:
    """The same of the cells that read emoji."""
    of, codes = ladders.numbered_emoji_world(case)
    return first_drawn(of, *ladders.split_emoji(of, codes, seed), rungs_of(of), 5000 * (seed + 1))


def rungs_of(of: ladders.World) -> list[int]:
    """Rungs of as many concepts as there are."""
    return np.resize(np.asarray(ladders.RUNGS_OF_EMOJI), len(of.concepts)).tolist()


def drawn_of_similar(case: str, seed: int) -> dict[str, Any]:
    """What a cell draws from which similar samples are removed."""
    of = ladders.world(case)
    test, train, pool = similarity_parts(of, seed)
    return {**first_drawn(of, test, pool, SHORT, 3000 * (seed + 1)), "train": train}


def similarity_parts(of: ladders.World, seed: int) -> tuple[IntArray, IntArray, IntArray]:
    """Samples to test on, a benchmark's training set, and the pool."""
    test, rest = ladders.split(of, seed, 200)
    return test, rest[:600], rest[600:]


def points(of: ladders.World, test: IntArray, drawn: Iterable[Drawn]) -> tuple[list[IntArray], list[FloatArray]]:
    """Counts, and accuracies of a model that is trained on each order."""
    counts, scores = [], []
    for seed, draw in enumerate(drawn):
        counts.append(draw.counts)
        scores.append(ladders.pretrain(of, draw.chosen, draw.captions, seed).accuracy(of, test))
    return counts, scores


@without_checkpoints()
def run_ladder(case: str, seed: int) -> Result:
    """Ten concepts, one to 77 pairs, in random orders; accuracies under three styles of prompts, and recall."""
    of = ladders.world(case)
    test, pool = ladders.split(of, seed, ladders.TEST)
    counts: list[IntArray] = []
    scores: dict[str, list[FloatArray]] = {style: [] for style in ladders.PROMPTS}
    recalls: dict[str, list[FloatArray]] = {"text to image": [], "image to text": []}
    wrong = 0
    for order, draw in enumerate(orders(of, pool, RUNGS, 1000 * seed, ORDERS)):
        counts.append(draw.counts)
        wrong += int(np.abs(draw.counts - draw.sizes).sum())
        model = ladders.pretrain(of, draw.chosen, draw.captions, 1000 * seed + order)
        for style in ladders.PROMPTS:
            scores[style].append(model.accuracy(of, test, style))
        for way, recall in model.recalls(of, test).items():
            recalls[way].append(recall)
    out: Result = {name: described(counts, values) for name, values in (scores | recalls).items()}
    out["ensemble"]["within concepts"] = within_concepts(counts, scores["ensemble"])
    out["count itself"] = against_counts(counts, scores["ensemble"])
    shuffle = np.random.default_rng(seed).permutation
    out["permuted accuracies"] = described(counts, [shuffle(values) for values in scores["ensemble"]])
    out["search"] = {"captions counted wrongly": float(wrong)}
    return out


@without_checkpoints()
def run_bent(case: str, seed: int, deviation: float) -> Result:
    """The ladder at another noise, where the law may bend; and how well the highest rung does there."""
    of = ladders.world(case, deviation)
    test, pool = ladders.split(of, seed, ladders.TEST)
    counts, scores = points(of, test, orders(of, pool, RUNGS, 6000 * (seed + 1), BENT))
    top = [float(accuracies[count.argmax()]) for count, accuracies in zip(counts, scores)]
    return {
        "ensemble": described(counts, scores) | {"highest rung": float(np.mean(top))},
        "count itself": against_counts(counts, scores),
    }


@without_checkpoints()
def run_synthetic(case: str, seed: int) -> Result:
    """Purely rendered pictures, as many pairs and steps of training, spread by equal factors or by equal steps."""
    of = ladders.world(case)
    test, pool = ladders.split(of, seed, ladders.TEST)
    out: Result = {}
    for arm, rungs in {"equal factors": RUNGS, "equal steps": EVEN}.items():
        out[arm] = described(*points(of, test, orders(of, pool, rungs, 2000 * (seed + 1), FEW)))
    slopes = [out[arm]["slope per decade"] for arm in ("equal factors", "equal steps")]
    out["both"] = {"ratio of slopes": max(slopes) / max(min(slopes), 1e-9)}
    return out


@without_checkpoints()
def run_similarity(case: str, seed: int) -> Result:
    """The same after removing pretraining samples that are nearer to the test set than a benchmark's training set."""
    of = ladders.world(case)
    test, train, pool = similarity_parts(of, seed)
    arms = ("all", "without similar", "as many at random")
    out: dict[str, tuple[list[NDArray], list[NDArray]]] = {arm: ([], []) for arm in arms}
    gone = []
    for order, (_, chosen, captions, _) in enumerate(orders(of, pool, SHORT, 3000 * (seed + 1), FEW)):
        stays = without_similar(of.x[chosen], of.x[test], of.x[train])
        gone.append(1 - stays.mean())
        fewer = at_random(of.y[chosen], stays, order)
        for arm, kept in zip(arms, (np.ones(len(chosen), bool), stays, fewer)):
            texts = [caption for caption, stay in zip(captions, kept) if stay]
            out[arm][0].append(searched(of, texts))
            out[arm][1].append(ladders.pretrain(of, chosen[kept], texts, order).accuracy(of, test))
    result = {arm: described(*series) for arm, series in out.items()}
    result["without similar"]["share removed"] = float(np.mean(gone))
    return result


def at_random(labels: IntArray, stays: NDArray[np.bool_], seed: int) -> NDArray[np.bool_]:
    """As many samples of every concept as `stays` keeps, whichever they are."""
    rng, kept = np.random.default_rng(seed), np.zeros(len(labels), bool)
    for concept in np.unique(labels):
        members = np.flatnonzero(labels == concept)
        kept[rng.permutation(members)[: int(stays[members].sum())]] = True
    return kept


WIDTHS = {"narrow": 32, "middle": 64, "wide": 256}


@without_checkpoints()
def run_long_tail(case: str, seed: int) -> Result:
    """A test set of the four rarest concepts beside one of four from the whole range, for three sizes of model."""
    of = ladders.world(case)
    test, pool = ladders.split(of, seed, ladders.TEST)
    drops: dict[str, list[float]] = {name: [] for name in WIDTHS}
    levels: dict[str, list[float]] = {"long-tailed": [], "from the whole range": []}
    for order, (_, chosen, captions, counts) in enumerate(orders(of, pool, RUNGS, 4000 * (seed + 1), FEW)):
        ranked = rare_concepts(of.concepts, counts)
        rare, spread = ([of.concepts[i] for i in indices] for indices in (ranked[:4], ranked[::3]))
        tail = long_tailed(of, test, rare, 25)
        even = long_tailed(of, test, spread, 25)
        for name, hidden in WIDTHS.items():
            model = ladders.pretrain(of, chosen, captions, order, hidden)
            reached = [100 * float((model.predict(of, rows) == of.y[rows]).mean()) for rows in (tail, even)]
            drops[name].append(reached[1] - reached[0])
            levels["long-tailed"].append(reached[0])
            levels["from the whole range"].append(reached[1])
    out: Result = {name: {"drop": float(np.mean(values))} for name, values in drops.items()}
    out["least of all"] = {"drop": float(np.min([row["drop"] for row in out.values()]))}
    return out | {name: {"accuracy": float(np.mean(values))} for name, values in levels.items()}


def long_tailed(of: ladders.World, rows: IntArray, names: Sequence[str], n: int) -> IntArray:
    """Samples of a balanced test set of these concepts, by `build_long_tail_set`; small pictures repeat no hash."""
    shown = Domain(x=of.x[rows]) if of.pictures is None else Domain(x=of.pictures.take(rows).x, kind="image")
    classes, ids = ClassSpace(names=of.concepts), np.array([str(i) for i in rows])
    given = Domain(x=shown.x, y=of.y[rows], kind=shown.kind, classes=classes, ids=ids)
    long_tail: LongTailSet = build_long_tail_set(given, n, None if of.pictures is None else 0, rare=names)
    assert long_tail.domain.ids is not None
    return np.array([int(i) for i in long_tail.domain.ids])


@without_checkpoints()
def run_emoji(case: str, seed: int) -> Result:
    """Subgroups of emoji as concepts, one to 32 drawings of each; other emoji of them, in all styles, to test on."""
    of, codes = ladders.emoji_world(case)
    test, pool = ladders.split_emoji(of, codes, seed)
    counts, scores = points(of, test, orders(of, pool, rungs_of(of), 5000 * (seed + 1), FEW))
    return {
        "ensemble": described(counts, scores) | {"within concepts": within_concepts(counts, scores)},
        "count itself": against_counts(counts, scores),
        "concepts": {"n": float(len(of.concepts))},
    }


def behaviour() -> dict[str, Any]:
    """Counts of concepts in a few captions, and the fit of accuracies that follow them."""
    captions = ["two dogs and a cat", "the cat on paper", "a hot dog", "dog, dog, cats!", "mice in view", "a bus stop"]
    concepts = ("dog", "cat", "mouse", "bus stop", "hot dog")
    counts = ConceptIndex.from_captions(captions).counts(concepts)
    shown = np.unique(np.round(1.6 ** np.arange(24) / 5).astype(np.int64) + 1)
    fit = fit_log_linear(shown, 12 * np.log(shown) + np.random.default_rng(0).normal(0, 4, len(shown)))
    figures = [fit.r, fit.raw_r, fit.slope, fit.intercept, fit.aic_log, fit.aic_linear]
    return {"counts": counts, "rare": list(rare_concepts(concepts, counts)), "fit": np.array(figures)}


# fmt: off
LEDGER = (
    not_testable("Models trained on crawled pairs do well without examples; how far that is zero-shot is not known, "
        "since nobody has counted the test concepts in their data.",
        "Background, about other work."),
    mechanism("ladder", equals("search", "captions counted wrongly", 0),
        "Concepts can be counted in captions: the search finds all that a generator wrote, and no other."),
    mechanism("ladder", at_least("ensemble", "r of means", 0.95),
        "Accuracy on a concept follows how often it was shown: with the logarithm of its count, the mean accuracy "
        "of ten rungs correlates at 0.95 at least."),
    mechanism("ladder", at_least("ensemble", "within concepts", 0.8),
        "It is the frequency, not the concept: with each concept's own mean taken off, over random orders, single "
        "accuracies still correlate at 0.8 at least."),
    mechanism("ladder", better("ensemble", "permuted accuracies", "raw r", by=0.5),
        "Shuffled accuracies lose it, by 0.5 at least of the correlation over single concepts."),
    promised("ladder", better("ensemble", "count itself", "r of means", by=0.05),
        "Linear gains need exponentially more data: the logarithm correlates better than the count itself, by 0.05."),
    promised("ladder", at_least("ensemble", "AIC of linear minus log", 10),
        "The logarithm also describes single concepts better (Akaike's criterion, by 10)."),
    promised("ladder", at_least("ensemble", "least slope per decade", 10),
        "Ten times the data buys a gain: 10 points at least at the lower end of its 95 % interval."),
    effect("ladder", at_least("ensemble", "r", 0.95),
        "The paper's binned correlation, of right edges and means of twelve bins, is 0.95 at least."),
    promised("ladder", at_least("name alone", "r of means", 0.95),
        "The style of prompts does not matter: a class name alone shows the trend (0.95)."),
    promised("ladder", at_least("simple template", "r of means", 0.95), "So does a single template."),
    effect("ladder", at_least("text to image", "r of means", 0.95),
        "Retrieval shows the trend, too: recall at 1 of a caption's picture among ten concepts' (0.95)."),
    effect("ladder", at_least("image to text", "r of means", 0.95), "So does recall at 1 of a picture's caption."),
    effect("low noise", better("ensemble", "count itself", "r of means", by=0.05),
        f"The law does not bend where accuracy saturates (noise of {ladders.LOW_NOISE}): the logarithm still "
        "correlates better than the count itself, by 0.05."),
    effect("high noise", better("ensemble", "count itself", "r of means", by=0.05),
        f"Nor where accuracy stays far from the ceiling (noise of {ladders.HIGH_NOISE}), by 0.05."),
    promised("emoji", at_least("ensemble", "r of means", 0.9),
        "It holds for drawings of things in several styles, with features of a pretrained network: 0.9."),
    effect("emoji", better("ensemble", "count itself", "r of means", by=0.05),
        "There, too, the logarithm correlates better than the count itself, by 0.05."),
    effect("emoji", at_least("ensemble", "AIC of linear minus log", 10),
        "There, too, the logarithm describes single concepts better (Akaike's criterion, by 10)."),
    promised("emoji", at_least("ensemble", "least slope per decade", 0),
        "There, too, ten times the data buys a gain: above 0 at the lower end of its 95 % interval."),
    promised("similarity", at_least("without similar", "r", 0.85),
        "The trend stays when samples that are nearer to the test set than a benchmark's own training set are "
        "removed from pretraining: binned correlation 0.85 at least."),
    promised("similarity", at_least("without similar", "least slope per decade", 5),
        "The gain of ten times the data stays above zero at the lower end of its interval, too, by 5 points."),
    effect("similarity", not_worse("without similar", "as many at random", "r", within=0.05),
        "What is removed does not matter: the binned correlation is at most 0.05 below that with as many pairs of "
        "every concept removed at random."),
    mechanism("similarity", at_least("without similar", "share removed", 0.05),
        "That control removes something: a twentieth of the pretraining samples at least."),
    promised("synthetic", at_least("equal factors", "r of means", 0.95),
        "The trend stays on purely synthetic data whose concepts are spread by equal factors (0.95)."),
    effect("synthetic", at_least("equal steps", "r of means", 0.95),
        "And on such data whose concepts are spread by equal steps (0.95)."),
    effect("synthetic", at_most("both", "ratio of slopes", 1.5),
        "Both spreads give one law: their slopes differ by a factor of 1.5 at most."),
    promised("long tail", at_least("least of all", "drop", 10),
        "Models do poorly on long-tailed data across the board: each of three sizes loses 10 points at least on a "
        "test set of its four rarest concepts against an equally large one of four from the whole range."),
    paper_scale("34 models and five corpora (CC-3M, CC-12M, YFCC-15M, LAION-400M, LAION-Aesthetics) show the trend.",
        "`unseen concepts --published FOLDER` computes the correlations of the ten models with published counts "
        "again, from the paper's own tables (counts.csv.gz and accuracy.csv.gz). Other corpora: `unseen concepts "
        "CAPTIONS --concepts FILE` with accuracies of the models in FILE."),
    paper_scale("The trend stays with LAION-200M, no nearer to the test sets than ImageNet is, and with SynthCI-30M.",
        "`unseen concepts --published FOLDER` has rows for both; LAION-200M with the counts of LAION-400M."),
    paper_scale("Text-to-image models show the trend: CLIP score, aesthetics and people's ratings of what they draw.",
        "It takes a generator and its pictures. `generation_scores` gives a score per concept of them, and `unseen "
        "concepts CAPTIONS --concepts FILE --score NAME` fits it."),
    paper_scale("Let it Wag!, 290 rare concepts in 130,500 pictures, on which 40 models do poorly.",
        "The pictures are the authors'. `unseen concepts ... --long-tail DIR --candidates FOLDER` makes such a set "
        "of the user's own rare concepts."),
    not_testable("Counting took more than 300 GB of artefacts.", "A matter of the authors' infrastructure."),
    not_testable("The key to zero-shot generalization under large-scale training is still to be found.", "An outlook."),
)
UNIT = "pictures of ten concepts, with noise of {} on all pixels"
PIXELS: Mapping[str, Any] = {
    "data": ladders.ink, "development": ("handwritten", "printed"), "confirmation": ("mnist odd", "mnist even"),
    "unit": f"{UNIT.format(ladders.NOISE)}; the two confirmation cases share no picture",
}

claim = Claim(
    slug="concept-frequency",
    ledger=LEDGER,
    behaviour=behaviour,
    experiments={
        "ladder": Experiment(run=run_ladder, drawn=drawn_of_pictures, **PIXELS),
        **{
            name: Experiment(
                run=functools.partial(run_bent, deviation=deviation),
                drawn=functools.partial(drawn_of_pictures, deviation=deviation, first=(6000, 1)),
                **{**PIXELS, "unit": UNIT.format(deviation)}, **seeds(2))
            for name, deviation in (("low noise", ladders.LOW_NOISE), ("high noise", ladders.HIGH_NOISE))
        },
        "synthetic": Experiment(
            run=run_synthetic, data=ladders.ink, drawn=lambda case, seed: {
                arm: drawn_of_pictures(case, seed, first=(2000, 1), rungs=rungs)
                for arm, rungs in (("equal factors", RUNGS), ("equal steps", EVEN))},
            development=("abdefghijn", "kmpqrtuwyz"),
            confirmation=("ABCDEFGHIJ", "KLMNOPQRST"), unit="rendered concepts", **seeds(2)),
        "similarity": Experiment(run=run_similarity, drawn=drawn_of_similar, **PIXELS),
        "long tail": Experiment(
            run=run_long_tail, drawn=functools.partial(drawn_of_pictures, first=(4000, 1)), **PIXELS),
        "emoji": Experiment(
            run=run_emoji, data=lambda case: of_vendors(case.split("+"), "emoji", "subgroup"), drawn=drawn_of_emoji,
            development=("noto+openmoji+twemoji",), confirmation=(
                "fluent-emoji+fluent-emoji-flat+fluent-emoji-high-contrast",
                "emojione+emojione-v1+emojione-monotone+fxemoji"),
            unit="subgroups of emoji, drawn in three or four styles; no vendor is in two cases"),
    },
    licences=(worlds.DIGITS, worlds.FONTS, worlds.EMOJI, worlds.MNIST),
)
# fmt: on
