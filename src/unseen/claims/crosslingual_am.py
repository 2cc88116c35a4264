"""The claim of cross-lingual argument mining: what projected annotations are worth beside those of people."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from unseen.claims.base import Claim, Experiment, Result, seeds
from unseen.claims.conditions import at_least, beats_all, better, joined
from unseen.claims.ledger import effect, mechanism, not_testable, paper_scale, promised
from unseen.data.domain import Domain
from unseen.data.pairs import Pairs
from unseen.data.sources.abstrct import CREDIT, abstrct, translated
from unseen.data.tagged import cut, pieces
from unseen.evaluation.exam import Exam
from unseen.evaluation.tasks.spans import with_texts
from unseen.methods.retrieval.crosslingual_am import Carried, CrossLingualAM
from unseen.nn.word_alignment import IBM1, Alignment, Sentences, from_matrix, off_diagonal

UNITS: Mapping[str, Any] = {"units": "words"}
"""The translations were written by a tokenizer that glues signs to words, and so are the spans that people revised."""
STEPS = 60
"""Of L-BFGS, of every arm."""
PLAIN: Mapping[str, Any] = {**UNITS, "sentence": False, "iterations": STEPS}
FULL: Mapping[str, Any] = {**UNITS, "iterations": STEPS}
FIGURES = ("span F1", "partial sentences", "token micro", "token macro")


class Position:
    """The strongest simple alternative to an aligner: each word belongs to that at the same share of the sentence."""

    name = "position"

    def fit(self, source: Sentences, target: Sentences) -> Position:
        """Nothing is learnt."""
        return self

    def align(self, source: Sentences, target: Sentences) -> list[Alignment]:
        """Of each word the nearest by its share, and the other way round."""
        return [_by_share(len(left), len(right)) for left, right in zip(source, target, strict=True)]


def _by_share(n: int, m: int) -> Alignment:
    if not n or not m:
        return Alignment({})
    far = off_diagonal(n, m)
    links = np.zeros((n, m), dtype=bool)
    links[np.arange(n), far.argmin(axis=1)] = links[far.argmin(axis=0), np.arange(m)] = True
    return from_matrix(links)


class Fitted:
    """An aligner that has learnt already: what `carry` copies and fits is left as it is."""

    def __init__(self, aligner: IBM1) -> None:
        self.aligner, self.name = aligner, aligner.name

    def fit(self, source: Sentences, target: Sentences) -> Fitted:
        """Nothing more is learnt."""
        return self

    def align(self, source: Sentences, target: Sentences) -> list[Alignment]:
        """As the aligner."""
        return self.aligner.align(source, target)

    def __deepcopy__(self, memo: Any) -> Fitted:
        return self


# -- projection --------------------------------------------------------------------------------------------


def pairs_of(case: str) -> Pairs:
    """English sentences with their translations, both with spans: `language topic part`."""
    return translated(*case.split())


@functools.cache
def learnt_pairs(language: str) -> Pairs:
    """What aligners learn from: the training sentences and their translations, no spans."""
    return translated(language, "neoplasm", "train")


def aligned(*parts: Pairs) -> IBM1:
    """An aligner that has seen sentences and their translations, no span."""
    left, right = (
        [cut(text, pieces(text)) for pairs in parts for text in getattr(pairs, side).x.tolist()]
        for side in ("left", "right")
    )
    return IBM1().fit(left, right)


@functools.cache
def aligners(case: str) -> dict[str, Any]:
    """Aligners that have seen the training part of a language and a case."""
    found = aligned(learnt_pairs(case.split()[0]), pairs_of(case))
    mutual = IBM1(symmetry="mutual")
    mutual.forward, mutual.backward = found.forward, found.backward
    return {"grow": Fitted(found), "mutual": Fitted(mutual), "position": Position()}


@functools.cache
def learnt_aligner(language: str) -> Fitted:
    """The aligner with which a tagger's sentences are projected, the same for all arms."""
    return Fitted(aligned(learnt_pairs(language)))


def projection(case: str, seed: int) -> Result:
    """How near projected spans are to those that people revised."""
    pairs = pairs_of(case)
    known = aligners(case)
    arms: Mapping[str, tuple[str, Mapping[str, Any]]] = {
        "full": ("grow", {}),
        "no rules": ("grow", {"rules": False}),
        "mutual links": ("mutual", {}),
        "position": ("position", {}),
    }
    table: Result = {}
    for arm, (name, settings) in arms.items():
        method = CrossLingualAM(**{**UNITS, **settings})
        carried, counts = method.carry(pairs.left, Pairs(pairs.left, pairs.right), None, known[name])
        said = rows_at(carried, len(pairs))
        table[arm] = graded(pairs.right, said)
        if arm == "full":
            table[arm] |= confidence(pairs.right, carried) | {"lost": counts["dropped"] + counts["deleted"]}
    return table | {"nothing": graded(pairs.right, none(len(pairs)))}


def rows_at(carried: Sequence[Carried], n: int) -> list[Any]:
    """The projected spans of each of n sentences."""
    rows = none(n)
    for one in carried:
        rows[one.at] = one.rows
    return rows


def none(n: int) -> list[Any]:
    """No span in any of n sentences: doing nothing."""
    return [np.zeros((0, 3), dtype=np.int64)] * n


def graded(domain: Domain, said: Any) -> dict[str, float]:
    """The figures of spans beside those of people."""
    found = with_texts(domain.x, domain.labels, said, domain.classes)
    return {name.lower(): found[name] for name in FIGURES}


def confidence(domain: Domain, carried: Sequence[Carried]) -> dict[str, float]:
    """How well confidence tells exact spans from others, where no rule made them; and how good the surer half is."""
    sure, right = [], []
    for one in carried:
        truth = {tuple(row) for row in domain.labels[one.at].tolist()}
        if one.projection.counts["whole"]:
            continue
        for span, row in zip(one.projection.spans, one.rows.tolist()):
            sure.append(span.confidence)
            right.append(tuple(row) in truth)
    if len(set(right)) < 2:
        return {"auroc": float("nan"), "surer half": float("nan"), "all": float("nan")}
    order = np.argsort(-np.array(sure), kind="stable")
    half = np.array(right)[order[: len(order) // 2]]
    return {"auroc": float(roc_auc_score(right, sure)), "surer half": float(half.mean()), "all": float(np.mean(right))}


# -- tagging -----------------------------------------------------------------------------------------------


@functools.cache
def tagger(language: str, arm: str) -> CrossLingualAM:
    """One arm, which learns once for all cases of its language; of English `both` is with Spanish."""
    other = "es" if language == "en" else language
    if arm in ("zero-shot", "gold"):
        return CrossLingualAM(**FULL).fit(source=abstrct("en" if arm == "zero-shot" else language))
    pairs = learnt_pairs(other)
    settings = {"plain": PLAIN, "both": {**FULL, "learn_from": "both"}}.get(arm, FULL)
    aligner = Position() if arm == "position" else learnt_aligner(other)
    return CrossLingualAM(**settings).fit(source=pairs.left, pairs=Pairs(pairs.left, pairs.right), aligner=aligner)


ARMS = ("zero-shot", "translate-train", "plain", "position", "both", "gold")


def tagging(case: str, seed: int) -> Result:
    """Taggers of a language, of which all but `gold` know no annotation in it; a CRF has no seed."""
    test, language = abstrct(*case.split()), case.split()[0]
    table = {arm: asked(tagger("en" if arm == "zero-shot" else language, arm), test) for arm in ARMS}
    low, high = table["zero-shot"]["token micro"], table["gold"]["token micro"]
    own = table["translate-train"]
    own["share of the gap"] = (own["token micro"] - low) / (high - low) if high > low else float("nan")
    return table | {"nothing": graded(test, none(len(test)))}


def english(case: str, seed: int) -> Result:
    """English, by a tagger of English, and by one of English and its Spanish translation."""
    test = abstrct(*case.split())
    arms = {"english": tagger("en", "zero-shot"), "both": tagger("es", "both")}
    return {arm: asked(own, test) for arm, own in arms.items()} | {"nothing": graded(test, none(len(test)))}


def asked(method: CrossLingualAM, test: Domain) -> dict[str, float]:
    """The figures of a fitted tagger, which is asked about an exam once."""
    exam = Exam(test, test.classes)
    said = method.predict(exam.samples)
    return graded(test.replace(y=exam.open()), said)


# -- the ledger --------------------------------------------------------------------------------------------


def read(case: str) -> tuple[Domain, ...]:
    """What a case reads: its sentences, and those that are learnt from."""
    language, topic, part = case.split()
    learnt = learnt_pairs(language if language != "en" else "es")
    return abstrct(language, topic, part), learnt.left, learnt.right


def behaviour() -> dict[str, Any]:
    """What is projected along a few links, and how two sentences are aligned by their places."""
    from unseen.methods.retrieval.crosslingual_am import project

    tags = ["O", "O", "B-Claim", "I-Claim", "I-Claim", "O", "B-Premise", "I-Premise"]
    return {
        "projected": project(tags, {0: [1], 2: [0], 4: [3], 6: [5], 7: [6]}, 8),
        "by places": sorted(_by_share(3, 5).links.items()),
    }


# fmt: off
LEDGER = (
    mechanism("projection", better("full", "position", "span f1", by=0.03),
        "Translating and projecting makes annotated data without a person: exact spans are nearer to those that people "
        "revised than by the place of words in their sentences, which already has most whole-sentence spans."),
    mechanism("projection", better("full", "position", "partial sentences", by=0.1),
        "So it is in partial sentences, where a span leaves words out and nothing is had for free."),
    mechanism("projection", better("full", "no rules", "span f1"),
        "The rules afterwards (whole sentences stay whole) make projected spans better."),
    promised("projection", joined(at_least("full", "span f1", 0.83), at_least("full", "partial sentences", 0.4)),
        "An aligner that is built in is enough for annotations without a person: .83 of exact spans, and .40 of those "
        "in partial sentences."),
    effect("projection", joined(at_least("full", "span f1", 0.9), at_least("full", "partial sentences", 0.58)),
        "It is as good as eflomal's alignments: .90 of all spans and .58 of those in partial sentences."),
    effect("projection", better("full", "mutual links", "partial sentences"),
        "Links beside mutual ones (grow-diagonal) help where spans leave words out."),
    effect("projection", at_least("full", "auroc", 0.65),
        "How sure a projected span is said to be tells exact spans from others, where no rule made them (AUROC)."),
    promised("tagging", better("translate-train", "zero-shot", "token micro", by=0.1),
        "Translation and projection outperform zero-shot transfer by a tagger with the same features (token micro)."),
    effect("tagging", better("translate-train", "zero-shot", "span f1", by=0.05),
        "So they do in exact spans."),
    effect("tagging", at_least("translate-train", "share of the gap", 0.75),
        "They close three quarters of the gap between zero-shot and a tagger that learns from revised annotations."),
    effect("tagging", better("translate-train", "plain", "span f1"),
        "A CRF that is told the words of the whole sentence is better than a plain one (python-crfsuite on words and "
        "neighbours) on the same projected sentences: most spans are whole sentences."),
    effect("tagging", better("translate-train", "plain", "partial sentences"),
        "So it is in partial sentences."),
    effect("tagging", better("translate-train", "position", "span f1"),
        "A tagger of aligned projections is better than one of projections by place."),
    effect("tagging",
        beats_all("translate-train", ("zero-shot", "plain", "position", "both", "nothing"), "token micro"),
        "Of all that know no annotation of the language it is the best."),
    effect("english", better("both", "english", "token micro"),
        "Projected Spanish sentences improve a tagger of English on English."),
    not_testable("Argument mining in medicine is needed, and the only annotated data there is, is English.",
        "A statement about the field."),
    paper_scale("They outperform zero-shot transfer by a large multilingual masked language model (mBERT).",
        "No such model is in a package. With one: unseen tag train english.conll --translations spanish.conll --test "
        "spanish-test.conll --encoder transformer:bert-base-multilingual-uncased --set hidden=768 --set "
        "learning_rate=5e-5 --set encoder_rate=5e-5 --set epochs=3; not run."),
    paper_scale("Relations between components are classified across languages, too.",
        "The translated relation files are not at hand; unseen.methods.retrieval.crosslingual_am.relations learns from "
        "pairs of sentences in any language; not run."),
)
_FRESH = tuple(
    f"{language} {topic} test"
    for topic in ("neoplasm", "glaucoma", "mixed") for language in ("fr", "it", "es")
    if (language, topic) != ("es", "neoplasm")
)
claim = Claim(
    slug="crosslingual-am",
    ledger=LEDGER,
    experiments={
        "projection": Experiment(
            run=projection, data=read, unit="language and disease", development=("es neoplasm test", "es neoplasm dev"),
            confirmation=_FRESH, **seeds(1)),
        "tagging": Experiment(
            run=tagging, data=read, unit="language and disease", development=("es neoplasm test", "es neoplasm dev"),
            confirmation=_FRESH, **seeds(1)),
        "english": Experiment(
            run=english, data=read, unit="disease", development=("en neoplasm test", "en neoplasm dev"),
            confirmation=("en glaucoma test", "en mixed test"), **seeds(1)),
    },
    licences=(CREDIT,),
    behaviour=behaviour,
)
# fmt: on
