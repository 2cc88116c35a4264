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
from unseen.data.typing import FloatArray, IntArray, Kind
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
ORDERS, FEW = 6, 4


def described(counts: Sequence[NDArray], scores: Sequence[NDArray]) -> dict[str, float]:
    """The figures of a fit over the points of several orders."""
    x, y = np.concatenate(counts), np.concatenate(scores)
    found, spread = fit_log_linear(x, y), bootstrap(x, y, draws=300)
    rungs = np.unique(x)
    means = np.array([y[x == rung].mean() for rung in rungs])
    return {
        "r of means": pearson(log_counts(rungs), means)[0],
        "r": found.r,
        "raw r": found.raw_r,
        "slope per decade": found.slope_per_decade,
        "least slope per decade": spread.slope_per_decade[0],
        "AIC of linear minus log": found.aic_linear - found.aic_log,
    }


def against_counts(counts: Sequence[NDArray], scores: Sequence[NDArray]) -> dict[str, float]:
    """The same correlations with the count itself in the place of its logarithm."""
    x, y = np.concatenate(counts), np.concatenate(scores)
    rungs = np.unique(x)
    means = np.array([y[x == rung].mean() for rung in rungs])
    found = fit_log_linear(x, y)
    return {"r of means": pearson(rungs.astype(float), means)[0], "r": found.linear_r, "raw r": found.linear_raw_r}


def within_concepts(counts: Sequence[NDArray], scores: Sequence[NDArray]) -> float:
    """Correlation once every concept's own mean is taken off both sides: what is left is frequency alone."""
    x, y = log_counts(np.stack(counts)), np.stack(scores)
    return pearson((x - x.mean(axis=0)).ravel(), (y - y.mean(axis=0)).ravel())[0]


def searched(of: World, captions: Sequence[str]) -> IntArray:
    """Counts of all concepts by the library's own search over the captions."""
    return ConceptIndex.from_captions(captions).counts(of.concepts)


@without_checkpoints()
def run_ladder(case: str, seed: int) -> Result:
    """Ten concepts, one to 77 pairs, in random orders; accuracies under three styles of prompts."""
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
    out["count itself"] = against_counts(counts, scores["ensemble"])
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
        for order in range(FEW):
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
    for order in range(FEW):
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
    for order in range(FEW):
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
    kind: Kind = "features" if of.pictures is None else "image"
    ids = np.array([str(i) for i in rows])
    pictures = Domain(
        x=given,
        y=of.y[rows],
        kind=kind,
        classes=ClassSpace(names=of.concepts),
        ids=ids,
    )
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
    for order in range(FEW):
        sizes = ladder(rungs.tolist(), 5000 * (seed + 1) + order)
        chosen, captions = corpus(of, pool, sizes, 5000 * (seed + 1) + order)
        counts.append(searched(of, captions))
        scores.append(pretrain(of, chosen, captions, order).accuracy(of, test))
    return {
        "ensemble": described(counts, scores) | {"within concepts": within_concepts(counts, scores)},
        "count itself": against_counts(counts, scores),
        "concepts": {"n": float(len(of.concepts))},
    }


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
            run=run_synthetic,
            development=("printed", "abdefghijn"),
            confirmation=CONFIRMATION,
            seeds=(0, 1),
            fresh_seeds=(100, 101),
            unit="rendered concepts",
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
    ledger=(
        not_testable(
            text="Models trained on crawled pairs do well without examples; how far that is zero-shot is not known, "
            "since nobody has counted the test concepts in their data.",
            reason="Background, about other work.",
        ),
        mechanism(
            text="Concepts can be counted in captions: the search finds all that a generator wrote, and no other.",
            experiment="ladder",
            holds=equals("search", metric="captions counted wrongly", value=0),
        ),
        mechanism(
            text="Accuracy on a concept follows how often it was shown: with the logarithm of its count, the "
            "mean accuracy "
            "of ten rungs correlates at 0.95 at least.",
            experiment="ladder",
            holds=at_least("ensemble", metric="r of means", value=0.95),
        ),
        mechanism(
            text="It is the frequency, not the concept: with each concept's own mean taken off, over random orders, "
            "single accuracies still correlate at 0.8 at least.",
            experiment="ladder",
            holds=at_least("ensemble", metric="within concepts", value=0.8),
        ),
        mechanism(
            text="Shuffled accuracies lose it, by 0.5 at least of the correlation over single concepts.",
            experiment="ladder",
            holds=better("ensemble", "permuted accuracies", metric="raw r", by=0.5),
        ),
        promised(
            text="Linear gains need exponentially more data: the logarithm correlates better than the count itself, "
            "by 0.05.",
            experiment="ladder",
            holds=better("ensemble", "count itself", metric="r of means", by=0.05),
        ),
        promised(
            text="The logarithm also describes single concepts better (Akaike's criterion, by 10).",
            experiment="ladder",
            holds=at_least("ensemble", metric="AIC of linear minus log", value=10),
        ),
        promised(
            text="Ten times the data buys a gain: 10 points at least at the lower end of its 95 % interval.",
            experiment="ladder",
            holds=at_least("ensemble", metric="least slope per decade", value=10),
        ),
        effect(
            text="The paper's binned correlation, of right edges and means of twelve bins, is 0.95 at least.",
            experiment="ladder",
            holds=at_least("ensemble", metric="r", value=0.95),
        ),
        promised(
            text="The style of prompts does not matter: a class name alone shows the trend (0.95).",
            experiment="ladder",
            holds=at_least("name alone", metric="r of means", value=0.95),
        ),
        promised(
            text="So does a single template.",
            experiment="ladder",
            holds=at_least("simple template", metric="r of means", value=0.95),
        ),
        promised(
            text="It holds for drawings of things by three vendors, with features of a pretrained network: 0.9.",
            experiment="emoji",
            holds=at_least("ensemble", metric="r of means", value=0.9),
        ),
        effect(
            text="There, too, the logarithm correlates better than the count itself, by 0.05.",
            experiment="emoji",
            holds=better("ensemble", "count itself", metric="r of means", by=0.05),
        ),
        promised(
            text="The trend stays when samples that are nearer to the test set than a benchmark's own training set are "
            "removed from pretraining: binned correlation 0.85 at least.",
            experiment="similarity",
            holds=at_least("without similar", metric="r", value=0.85),
        ),
        promised(
            text="The gain of ten times the data stays above zero at the lower end of its interval, too, by 5 points.",
            experiment="similarity",
            holds=at_least("without similar", metric="least slope per decade", value=5),
        ),
        mechanism(
            text="That control removes something: a twentieth of the pretraining samples at least.",
            experiment="similarity",
            holds=at_least("without similar", metric="share removed", value=0.05),
        ),
        promised(
            text="The trend stays on purely synthetic data whose concepts are spread by equal factors (0.95).",
            experiment="synthetic",
            holds=at_least("equal factors", metric="r of means", value=0.95),
        ),
        promised(
            text="And on such data whose concepts are spread by equal steps (0.95).",
            experiment="synthetic",
            holds=at_least("equal steps", metric="r of means", value=0.95),
        ),
        effect(
            text="Both spreads give one law: their slopes differ by a factor of 1.5 at most.",
            experiment="synthetic",
            holds=at_most("both", metric="ratio of slopes", value=1.5),
        ),
        promised(
            text="Models do poorly on long-tailed data across the board: each of three sizes loses 10 points at "
            "least on "
            "a test set of its four rarest concepts against a balanced one of equal size.",
            experiment="long tail",
            holds=at_least("least of all", metric="drop", value=10),
        ),
        paper_scale(
            text="34 models and five corpora (CC-3M, CC-12M, YFCC-15M, LAION-400M, LAION-Aesthetics) show the trend.",
            reason="`unseen concepts --published FOLDER` computes the correlations of the ten models with published "
            "counts again, from the paper's own tables (counts.csv.gz and accuracy.csv.gz). Other corpora: "
            "`unseen concepts "
            "CAPTIONS --concepts FILE` with accuracies of the models in FILE.",
        ),
        paper_scale(
            text="The trend stays with LAION-200M, no nearer to the test sets than ImageNet is, and with SynthCI-30M.",
            reason="`unseen concepts --published FOLDER` has rows for both; LAION-200M with the counts of LAION-400M.",
        ),
        paper_scale(
            text="Let it Wag!, 290 rare concepts in 130,500 pictures, on which 40 models do poorly.",
            reason="The pictures are the authors'. `unseen concepts ... --long-tail DIR --candidates FOLDER` "
            "makes such a "
            "set of the user's own rare concepts.",
        ),
        not_testable(
            text="Counting took more than 300 GB of artefacts.",
            reason="A matter of the authors' infrastructure.",
        ),
        not_testable(
            text="The key to zero-shot generalization under large-scale training is still to be found.",
            reason="An outlook.",
        ),
    ),
)
