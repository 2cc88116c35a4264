"""The claim of cross-lingual argument mining: what projected annotations are worth beside those of people."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline

from unseen.claims.base import Claim, Experiment, Result, seeds
from unseen.claims.conditions import at_least, beats_all, better, joined
from unseen.claims.ledger import effect, mechanism, not_testable, paper_scale, promised
from unseen.data.domain import Domain
from unseen.data.pairs import Pairs
from unseen.data.sources.abstrct import CREDIT, abstrct, translated
from unseen.data.tagged import cut, pieces, words
from unseen.data.tasks.base import objects
from unseen.evaluation.drive import Once
from unseen.evaluation.exam import Exam
from unseen.evaluation.tasks.spans import with_texts
from unseen.methods.retrieval.crosslingual_am import CrossLingualAM, project
from unseen.methods.span_taggers import Carried
from unseen.nn.word_alignment import IBM1, Alignment, Sentences, from_matrix, grow, off_diagonal

# -- simple alternatives to projection by an aligner, and to a tagger: they learn little or nothing ------


class NoLinks:
    """Aligns no word: what is projected is by the rule of whole sentences alone."""

    name = "none"

    def fit(self, source: Sentences, target: Sentences) -> Self:
        """Nothing is learnt."""
        return self

    def align(self, source: Sentences, target: Sentences) -> list[Alignment]:
        """No link."""
        return [Alignment({}) for _ in zip(source, target, strict=True)]


class Position(NoLinks):
    """Each word belongs to that at the same share of the sentence, and the other way round."""

    name = "position"

    def align(self, source: Sentences, target: Sentences) -> list[Alignment]:
        """Of each word the nearest by its share."""
        return [by_share(len(left), len(right)) for left, right in zip(source, target, strict=True)]


def by_share(n: int, m: int) -> Alignment:
    """The links of `n` words with `m`."""
    if not n or not m:
        return Alignment({})
    far = off_diagonal(n, m)
    links = np.zeros((n, m), dtype=bool)
    links[np.arange(n), far.argmin(axis=1)] = links[far.argmin(axis=0), np.arange(m)] = True
    return from_matrix(links)


class Letters(NoLinks):
    """Each word belongs to that with most of its groups of three letters, weighed by the diagonal as IBM model 1 is."""

    name = "letters"

    def align(self, source: Sentences, target: Sentences) -> list[Alignment]:
        """The links that grow from the most similar words of both directions."""
        return [from_matrix(grow(alike(left, right))) for left, right in zip(source, target, strict=True)]


def alike(left: Sequence[str], right: Sequence[str]) -> NDArray[np.float64]:
    """The Dice coefficient of groups of three letters of two words, weighed by the diagonal, (i, j)."""
    a, b = ([_threes(word) for word in side] for side in (left, right))
    met = [[2 * (x & y).total() / (x.total() + y.total()) for y in b] for x in a]
    weight = np.exp(-IBM1().diagonal * off_diagonal(len(left), len(right)))
    return np.array(met, dtype=np.float64).reshape(len(left), len(right)) * weight


def _threes(word: str) -> Counter[str]:
    padded = f"^{word.lower()}$"
    return Counter(padded[i : i + 3] for i in range(max(len(padded) - 2, 1)))


class Fitted:
    """An aligner that has learnt already: what `carry` copies and fits is left as it is."""

    def __init__(self, aligner: IBM1) -> None:
        self.aligner, self.name = aligner, aligner.name

    def fit(self, source: Sentences, target: Sentences) -> Self:
        """Nothing more is learnt."""
        return self

    def align(self, source: Sentences, target: Sentences) -> list[Alignment]:
        """As the aligner."""
        return self.aligner.align(source, target)

    def __deepcopy__(self, memo: Any) -> Fitted:
        return self


class WholeSentences:
    """A classifier of sentences: the class of the longest span, as one span of the whole sentence, or nothing.

    TF-IDF of single words and pairs of words, and a logistic regression.
    """

    def fit(self, texts: Sequence[str], rows: Sequence[NDArray[Any]]) -> Self:
        """Learn from texts and their spans."""
        longest = [max(spans.tolist(), key=lambda row: row[1] - row[0])[2] if len(spans) else -1 for spans in rows]
        tfidf = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
        self.classifier = make_pipeline(tfidf, LogisticRegression(C=REGULAR, max_iter=1000)).fit(list(texts), longest)
        return self

    def predict(self, samples: Domain) -> NDArray[Any]:
        """A span for each text, or none."""
        texts = [str(text) for text in samples.x.tolist()]
        labels = self.classifier.predict(texts)
        return objects(_whole(text, int(k)) for text, k in zip(texts, labels))


REGULAR = 10.0
"""Inverse strength of the penalty of the regression, the better of 1 and 10 on the development part."""


def _whole(text: str, label: int) -> NDArray[np.int64]:
    places = words(text)
    if label < 0 or not places:
        return np.zeros((0, 3), dtype=np.int64)
    return np.array([[places[0][0], places[-1][1], label]], dtype=np.int64)


UNITS: Mapping[str, Any] = {"units": "words"}
"""The translations were written by a tokenizer that glues signs to words, and so are the spans that people revised."""
STEPS = 60
"""Of L-BFGS, of every arm."""
PLAIN: Mapping[str, Any] = {**UNITS, "sentence": False, "iterations": STEPS}
FULL: Mapping[str, Any] = {**UNITS, "iterations": STEPS}
FIGURES = (
    "span F1", "partial sentences", "token micro", "token macro", "token accuracy", "token macro with O",
    "token F1 Claim", "token F1 Premise",
)  # fmt: skip
"""The last four are the paper's micro and macro F1, F1-claim and F1-evidence, on words."""
KNOWN = (("neoplasm", "train"), ("neoplasm", "dev"), ("neoplasm", "test"), ("glaucoma", "test"))
"""Parts whose sentences stand in the mixed ones, too; there they are no exam."""


# -- projection --------------------------------------------------------------------------------------------


def exam_of(case: str) -> Domain:
    """The sentences of a case, `language topic part`; of mixed diseases those that stand in no other part."""
    domain = abstrct(*case.split())
    return domain.take(fresh(domain, case))


def pairs_of(case: str) -> Pairs:
    """English sentences with their translations, both with spans, of which neither stands in another part."""
    language, topic, part = case.split()
    pairs = translated(language, topic, part)
    kept = fresh(pairs.left, f"en {topic} {part}") & fresh(pairs.right, case)
    return Pairs(pairs.left.take(kept), pairs.right.take(kept))


def fresh(domain: Domain, case: str) -> NDArray[np.bool_]:
    """Which sentences of a case stand in none of `KNOWN`, all where the case is one of them; case and space aside."""
    language, topic, _ = case.split()
    if topic != "mixed":
        return np.ones(len(domain), dtype=bool)
    known = {_plain(text) for part in KNOWN for text in abstrct(language, *part).x.tolist()}
    return np.array([_plain(text) not in known for text in domain.x.tolist()], dtype=bool)


def _plain(text: str) -> str:
    return " ".join(cut(text, pieces(text))).casefold()


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
    aligner = aligned(learnt_pairs(case.split()[0]), pairs_of(case))
    mutual = IBM1(symmetry="mutual")
    mutual.forward, mutual.backward = aligner.forward, aligner.backward
    plain = {"position": Position(), "letters": Letters(), "whole rule alone": NoLinks()}
    return {"grow": Fitted(aligner), "mutual": Fitted(mutual), **plain}


@functools.cache
def learnt_aligner(language: str) -> Fitted:
    """The aligner with which a tagger's sentences are projected, the same for all arms."""
    return Fitted(aligned(learnt_pairs(language)))


UNLEARNT = ("position", "letters", "whole rule alone")


def projection(case: str, seed: int) -> Result:
    """How near projected spans are to those that people revised."""
    pairs = pairs_of(case)
    known = aligners(case)
    arms: Mapping[str, tuple[str, Mapping[str, Any]]] = {
        "full": ("grow", {}),
        "no rules": ("grow", {"rules": False}),
        "mutual links": ("mutual", {}),
        **{name: (name, {}) for name in UNLEARNT},
    }
    table: Result = {}
    for arm, (name, settings) in arms.items():
        method = CrossLingualAM(**{**UNITS, **settings})
        carried, _ = method.carry(pairs.left, Pairs(pairs.left, pairs.right), None, known[name])
        rows = rows_at(carried, len(pairs))
        table[arm] = graded(pairs.right, rows)
        if arm == "full":
            table[arm] |= confidence(pairs.right, carried) | {
                "lost": sum(len(item.projection.lost) for item in carried)
            }
    return table | {"nothing": graded(pairs.right, none(len(pairs)))}


def rows_at(carried: Sequence[Carried], n: int) -> list[Any]:
    """The projected spans of each of n sentences."""
    rows = none(n)
    for item in carried:
        rows[item.at] = item.rows
    return rows


def none(n: int) -> list[Any]:
    """No span in any of n sentences: doing nothing."""
    return [np.zeros((0, 3), dtype=np.int64)] * n


def graded(domain: Domain, said: Any) -> dict[str, float]:
    """The figures of spans beside those of people."""
    figures = with_texts(domain.x, domain.labels, said, domain.classes)
    return {name.lower(): figures.get(name, float("nan")) for name in FIGURES}


def confidence(domain: Domain, carried: Sequence[Carried]) -> dict[str, float]:
    """How well confidence tells exact spans from others, where no rule made them; and how good the surer half is."""
    sure, right = [], []
    for item in carried:
        truth = {tuple(row) for row in domain.labels[item.at].tolist()}
        if item.projection.counts["whole"]:
            continue
        for span, row in zip(item.projection.spans, item.rows.tolist()):
            sure.append(span.confidence)
            right.append(tuple(row) in truth)
    if len(set(right)) < 2:
        return {"auroc": float("nan"), "surer half": float("nan"), "all": float("nan")}
    order = np.argsort(-np.array(sure), kind="stable")
    half = np.array(right)[order[: len(order) // 2]]
    return {"auroc": float(roc_auc_score(right, sure)), "surer half": float(half.mean()), "all": float(np.mean(right))}


# -- tagging -----------------------------------------------------------------------------------------------


@functools.cache
def tagger(language: str, arm: str) -> Any:
    """One arm, which learns once for all cases of its language; of English `both` is with Spanish."""
    other = "es" if language == "en" else language
    if arm in ("zero-shot", "whole zero-shot", "english twice", "gold"):
        source = abstrct(language if arm == "gold" else "en")
        if arm == "whole zero-shot":
            return WholeSentences().fit(source.x.tolist(), list(source.labels))
        return CrossLingualAM(**FULL).fit(source=twice(source) if arm == "english twice" else source)
    pairs = learnt_pairs(other)
    settings = {"plain": PLAIN, "both": {**FULL, "learn_from": "both"}}.get(arm, FULL)
    aligner, both = Position() if arm == "position" else learnt_aligner(other), Pairs(pairs.left, pairs.right)
    if arm == "whole sentences":
        carried, _ = CrossLingualAM(**FULL).carry(pairs.left, both, None, aligner)
        return WholeSentences().fit([item.translation for item in carried], [item.rows for item in carried])
    return CrossLingualAM(**settings).fit(source=pairs.left, pairs=both, aligner=aligner)


def twice(source: Domain) -> Domain:
    """Every sentence two times: as many as with their translations, and nothing new."""
    at = np.tile(np.arange(len(source)), 2)
    return Domain(
        x=source.x[at], y=objects(source.labels[i] for i in at), kind="text", task="spans", classes=source.classes,
        name=f"{source.name} twice",
    )  # fmt: skip


SIMPLE = ("zero-shot", "plain", "position", "both", "whole sentences", "whole zero-shot")
ARMS = ("translate-train", *SIMPLE, "gold")


def tagging(case: str, seed: int) -> Result:
    """Taggers of a language, of which all but `gold` know no annotation in it; a CRF has no seed."""
    test, language = exam_of(case), case.split()[0]
    table = {arm: asked(tagger("en" if "zero-shot" in arm else language, arm), test) for arm in ARMS}
    low, high = table["zero-shot"]["token micro"], table["gold"]["token micro"]
    row = table["translate-train"]
    row["share of the gap"] = (row["token micro"] - low) / (high - low) if high > low else float("nan")
    return table | {"nothing": graded(test, none(len(test)))}


def english(case: str, seed: int) -> Result:
    """English, by a tagger of English, of all of it twice, and of English and its Spanish translation."""
    test = exam_of(case)
    arms = {"english": ("en", "zero-shot"), "english twice": ("en", "english twice"), "both": ("es", "both")}
    table = {arm: asked(tagger(*key), test) for arm, key in arms.items()}
    return table | {"nothing": graded(test, none(len(test)))}


def asked(method: Any, test: Domain) -> dict[str, float]:
    """The figures of a fitted tagger, which is asked about an exam once."""
    once = Once(lambda truth, predicted: graded(test.replace(y=truth), predicted))
    return dict(once.ask(method, Exam(test, test.classes)).metrics)


# -- the ledger --------------------------------------------------------------------------------------------


def read(case: str) -> tuple[Domain, ...]:
    """What a case reads: its sentences, and those that are learnt from."""
    language = case.split()[0]
    learnt = learnt_pairs(language if language != "en" else "es")
    return exam_of(case), learnt.left, learnt.right


def behaviour() -> dict[str, Any]:
    """What is projected along a few links, and how two sentences are aligned by their places."""
    tags = ["O", "O", "B-Claim", "I-Claim", "I-Claim", "O", "B-Premise", "I-Premise"]
    return {
        "projected": project(tags, {0: [1], 2: [0], 4: [3], 6: [5], 7: [6]}, 8),
        "by places": sorted(by_share(3, 5).links.items()),
    }


# fmt: off
LEDGER = (
    mechanism("projection", beats_all("full", (*UNLEARNT, "nothing"), "span f1", by=0.03),
        "Translating and projecting makes annotated data without a person: exact spans are nearer to those that people "
        "revised than by the place of words in their sentences, by their letters, or by the rule of whole sentences "
        "alone, which already have most whole-sentence spans."),
    mechanism("projection", beats_all("full", (*UNLEARNT, "nothing"), "partial sentences", by=0.1),
        "So it is in partial sentences, where a span leaves words out and nothing is had for free."),
    mechanism("projection", better("full", "no rules", "span f1"),
        "The rules afterwards (whole sentences stay whole) make projected spans better."),
    promised("projection", joined(at_least("full", "span f1", 0.83), at_least("full", "partial sentences", 0.4)),
        "An aligner that is built in is enough for annotations without a person: .83 of exact spans, and .40 of those "
        "in partial sentences."),
    effect("projection", joined(at_least("full", "span f1", 0.9), at_least("full", "partial sentences", 0.58)),
        "Of all spans .90 are exact, and .58 of those in partial sentences."),
    effect("projection", better("full", "mutual links", "partial sentences"),
        "Links beside mutual ones (grow-diagonal) help where spans leave words out."),
    effect("projection", at_least("full", "auroc", 0.65),
        "How sure a projected span is said to be tells exact spans from others, where no rule made them (AUROC)."),
    promised("tagging", better("translate-train", "zero-shot", "token micro", by=0.1),
        "Translation and projection outperform zero-shot transfer by a tagger with the same features (token micro)."),
    effect("tagging", better("translate-train", "zero-shot", "span f1", by=0.05), "So they do in exact spans."),
    effect("tagging", at_least("translate-train", "share of the gap", 0.75),
        "They close three quarters of the gap between zero-shot and a tagger that learns from revised annotations."),
    effect("tagging", better("translate-train", "plain", "span f1"),
        "A CRF that is told the words of the whole sentence is better than a plain one (python-crfsuite on words and "
        "neighbours) on the same projected sentences: most spans are whole sentences."),
    effect("tagging", better("translate-train", "plain", "partial sentences"), "So it is in partial sentences."),
    effect("tagging", better("translate-train", "position", "span f1"),
        "A tagger of aligned projections is better than one of projections by place."),
    effect("tagging", beats_all("translate-train", (*SIMPLE, "nothing"), "token micro"),
        "Of all that know no annotation of the language it is the best, a classifier of whole sentences among them."),
    effect("english", beats_all("both", ("english", "english twice"), "token micro"),
        "Projected Spanish sentences improve a tagger of English on English, more than English sentences twice."),
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
NOTHING_DRAWN = "the sentences of `read`, whole; a CRF has no seed"
TRANSLATED: dict[str, Any] = {
    "data": read, "unit": "language and disease", "development": ("es neoplasm test", "es neoplasm dev"),
    "confirmation": (
        "fr neoplasm test", "it neoplasm test", "fr glaucoma test", "it glaucoma test", "es glaucoma test",
        "fr mixed test", "it mixed test", "es mixed test"),
    "nothing": "nothing", **seeds(1)}

claim = Claim(
    slug="crosslingual-am",
    ledger=LEDGER,
    experiments={
        "projection": Experiment(run=projection, drawn=lambda case, seed: pairs_of(case), **TRANSLATED),
        "tagging": Experiment(run=tagging, drawn=NOTHING_DRAWN, **TRANSLATED),
        "english": Experiment(
            run=english, data=read, drawn=NOTHING_DRAWN, unit="disease",
            development=("en neoplasm test", "en neoplasm dev"),
            confirmation=("en glaucoma test", "en mixed test"), nothing="nothing", **seeds(1)),
    },
    licences=(CREDIT,),
    behaviour=behaviour,
)
# fmt: on
