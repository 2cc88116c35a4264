"""The method: a tagger for a language without annotations, from those of another by translation and projection."""

from __future__ import annotations

import copy
import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
import torch
from torch import nn

from unseen.data.domain import Domain
from unseen.data.pairs import Pairs
from unseen.data.tagged import OUTSIDE, cut, pieces, rows_of, runs_of, snapped, tags_of
from unseen.methods.base import Card
from unseen.methods.parameters import Count, NonNegative, Positive, Unit
from unseen.methods.retrieval.crosslingual_am.projection import parts_phrases, projected
from unseen.methods.span_taggers import (
    Carried,
    Marked,
    MarkedSentences,
    SpanProjector,
    check_translations,
    names_of,
    translations,
)
from unseen.nn import linear_crf
from unseen.nn.linear_crf import LinearCRF
from unseen.nn.protocols import TokenEncoder, Translator
from unseen.nn.taggers import best_tags, hashed_letters, sequence_tagger, train_tagger
from unseen.nn.word_alignment import IBM1, Aligner


class CrossLingualAM(SpanProjector):
    """Tag spans in a language without annotations: translate annotated sentences, align their words, project [1].

    With `pairs` (sentences and their translations) or a `translator`, the annotations of `source` are carried over to
    the translations, and a tagger learns from these (translate-train), or from both languages. Without either, the
    tagger learns from the source and is used on the other language as it is (zero-shot).

    Parameters
    ----------
    learn_from : {"target", "both"}
        Projected translations alone, or the source beside them (step 5 of the strategies).
    reach : int
        Longest span, in tokens, that filling a gap may make (step 10).
    rules : bool
        Whether translations of whole-sentence spans become whole-sentence spans (steps 13 and 14).
    units : {"pieces", "words"}
        What projected spans end with: words and signs apart, or what white space parts. Where translations were written
        by a tokenizer that glues signs to words, the spans of people end with the glued word.
    least_confidence : float in [0, 1]
        Translations with a span below it, or with a lost one, are not learnt from.
    engine : {"crfsuite", "gru"}
        What tags where no `model` is given: a CRF on words and their neighbours, or a bidirectional GRU with a CRF on
        hashed letters. With a `model` it is a GRU with a CRF on the vectors of that.
    sentence : bool
        Whether the CRF is told of each token also what words its sentence has, and where in it the token stands.
    l1, l2 : float, >= 0
        Penalties of the CRF.
    iterations : int
        Steps of the CRF's learning, at most.
    least_count : int
        How often what a CRF is told stands in the data, at least.
    hidden : int
        Width of each direction of the GRU; with a `model` the paper takes the model's width.
    dropout : float in [0, 1]
        Share of the vectors of tokens, and of what the GRU says, that is left out in training.
    epochs, batch_size : int
        Passes over the sentences, and sentences of a step.
    learning_rate, encoder_rate : float
        Of the GRU and its CRF, and of the vectors of tokens; 0 leaves the vectors as they are.
    weight_decay : float, >= 0
        Of AdamW, on all that learns.

    Attributes
    ----------
    tags_ : tuple of str
        BIO tags.
    names_ : tuple of str
        What classes are called.
    counts_ : dict
        What happened to the spans (`Projection.counts`), with ``sentences`` projected, ``untranslated`` ones, and
        ``unsure`` ones that were not learnt from.
    tagger_ : Module, or None where a CRF tags
    attributes_, weights_, steps_ : arrays
        Of the CRF.

    Notes
    -----
    Spans are rows of first character, character behind the last, and class. `aligner` learns from the pairs at hand; it
    is an `unseen.nn.word_alignment.Aligner`, IBM model 1 if absent. `model` gives vectors of tokens
    (`unseen.nn.taggers.token_encoder`).

    References
    ----------
    [1] Yeginbergenova and Agerri, "Cross-lingual Argument Mining in the Medical Domain", 2023.
    """

    card = Card(
        slug="crosslingual-am",
        title="Cross-lingual Argument Mining in the Medical Domain",
        venue="Procesamiento del Lenguaje Natural 2024",
        official_code="ragerri/abstrct-projections",
        summary="Tag spans of a language without annotations, by translating and projecting those of another.",
        unseen={"domains"},
        modalities={"text"},
        protocols={"tagging"},
        task="spans",
        presets={
            "default": {},
            "gru": {"engine": "gru"},
            "paper": {
                "engine": "gru", "hidden": 768, "learning_rate": 5e-5, "encoder_rate": 5e-5, "batch_size": 32,
                "epochs": 3,
            },
        },
        on_request={"gru", "paper"},
        smoke={"epochs": 2, "iterations": 5, "hidden": 8, "batch_size": 16, "least_count": 1},
        commands=(
            "unseen tag project english.conll --translations spanish.txt --out spanish.conll",
            "unseen tag train spanish.conll --model tagger",
            "unseen tag run notes.txt --model tagger --out notes.html",
        ),
        needs=(MarkedSentences(),),
        parts=(
            "unseen.data.tagged",
            "unseen.nn.word_alignment",
            "unseen.nn.crf",
            "unseen.nn.taggers",
            "unseen.nn.linear_crf",
            "unseen.methods.retrieval.crosslingual_am.relations",
            "unseen.evaluation.tasks.spans",
        ),
        left_out=(
            "mBERT, BETO, BioBERT and SciBERT: none is in a package; `unseen tag train --encoder transformer:PLACE` "
            "reads them.",
            "SimAlign as it is: similarities of such vectors align by itermax, but of the last layer (the paper's are "
            "of the eighth), and of words, whose vectors are means over their pieces (the paper links pieces).",
            "AWESOME's fine-tuned mBERT: IBM model 1 is learnt from the sentences themselves in its place, or eflomal.",
            "Manual revision (step 15) is a person's work; `unseen tag project --table` lists what to look at, the "
            "least sure first.",
            "Translate-test (step 4), optional: spans of a translated text are projected back by `project` with the "
            "alignment turned round.",
        ),
        notes=(
            "IBM model 1 aligns by links that grow from those on which both directions agree (grow-diagonal), where "
            "mutual ones alone were asked for; `IBM1(symmetry=\"mutual\")` takes these.",
            "Neighbours of one class that meet are joined before those of different classes are compared, all over the "
            "sentence; of different classes a span is compared with each that stands before it (step 11).",
            "In a sentence of nothing but spans of one class the second token is always inside the first span, and the "
            "third where a span would begin there (step 14 does the first only where none begins in these two).",
            "Figures of tokens are of words as white space parts them, where the official code counts the pieces of "
            "its encoder: token accuracy is its micro F1 (O counts), token macro with O its macro F1, of the tags that "
            "there are, and the token F1 of Claim and Premise its F1-claim and F1-evidence.",
            "There is no tag X of padding: the CRF is masked, which decodes the same.",
            "Words and signs are aligned and tagged apart (the official code aligns what white space parts), and spans "
            "are mapped back by `units`.",
            "A span that two pieces of one class make with a hole between them (step 11 does not fill it again) is "
            "written as two, so that no I stands without a B before it.",
            "A long sentence is never cut: a transformer reads it in parts.",
            "Confidence is not the paper's: it says what speaks for the ends of a span. How sure links are "
            "told nothing of exact spans in development (AUROC below .5).",
            "Whole-sentence spans flatter: confirmed on eight cases of three languages, a tagger of projections by "
            "place was as good in tokens as one of aligned projections (.733, .744), and a classifier of whole "
            "sentences (TF-IDF, logistic regression) on the same projected sentences was better (.787). Partial "
            "sentences: .024, .097 and none.",
        ),
        cost=20.0,
    )  # fmt: skip

    learn_from: Literal["target", "both"] = "target"
    reach: Count = 100
    rules: bool = True
    units: Literal["pieces", "words"] = "pieces"
    least_confidence: Unit = 0.0
    engine: Literal["crfsuite", "gru"] = "crfsuite"
    sentence: bool = True
    l1: NonNegative = 0.1
    l2: NonNegative = 0.01
    iterations: Count = 100
    least_count: Count = 2
    hidden: Count = 64
    dropout: Unit = 0.3
    epochs: Count = 10
    batch_size: Count = 32
    learning_rate: Positive = 3e-3
    encoder_rate: NonNegative = 3e-3
    weight_decay: NonNegative = 0.01

    tagger_: nn.Module | None = dataclasses.field(init=False)

    def fit(
        self,
        *,
        source: Domain,
        pairs: Pairs | None = None,
        translator: Any = None,
        aligner: Any = None,
        model: nn.Module | None = None,
    ) -> Self:
        """Learn from sentences with spans, carried over to their translations if there are some."""
        _check(pairs, translator, aligner, model)
        if model is None and self.engine == "crfsuite":
            linear_crf.require()
        names = names_of(source)
        carried, counts = self._carried(source, pairs, translator, aligner)
        learnt = self._learnt_from(source, carried, names)
        if not any(tag != OUTSIDE for _, tags in learnt for tag in tags):
            raise ValueError("source: no span is left to learn from after projection; is every text its translation?")
        self.names_ = names
        self.tags_ = (OUTSIDE, *(f"{mark}-{name}" for name in names for mark in "BI"))
        self.counts_ = counts
        self._learn(learnt, model)
        return self

    # -- A to E: translate, align, project ---------------------------------------------------------------------

    def carry(
        self,
        source: Domain,
        pairs: Pairs | None = None,
        translator: Translator | None = None,
        aligner: Aligner | None = None,
    ) -> tuple[list[Carried], Counter[str]]:
        """Translate, align, project: see `SpanProjector`."""
        names = names_of(source)
        translated = translations(source, pairs, translator)
        known = [i for i, translation in enumerate(translated) if translation is not None]
        counts: Counter[str] = Counter(sentences=len(known), untranslated=len(source) - len(known))
        texts = [str(text) for text in source.x]
        both = [(texts[i], str(translated[i])) for i in known]
        placed = [(pieces(text), pieces(translation)) for text, translation in both]
        every = () if pairs is None else zip(pairs.left.x.tolist(), pairs.right.x.tolist())
        more = [(a, b) for a, b in every if a.strip() and b.strip()]
        extra = [(cut(a, pieces(a)), cut(b, pieces(b))) for a, b in dict.fromkeys(more) if (a, b) not in set(both)]
        tokens = [(cut(a, p), cut(b, q)) for (a, b), (p, q) in zip(both, placed)]
        fitted = copy.deepcopy(aligner) if aligner is not None else IBM1()
        fitted.fit([a for a, _ in (*tokens, *extra)], [b for _, b in (*tokens, *extra)])
        links = fitted.align([a for a, _ in tokens], [b for _, b in tokens])
        out = []
        for i, (text, translation), (places, targets), alignment, words in zip(known, both, placed, links, tokens):
            tags = tags_of(places, source.labels[i], names)
            signs = parts_phrases(words[0]), parts_phrases(words[1])
            projection = projected(tags, alignment, len(targets), reach=self.reach, rules=self.rules, signs=signs)
            counts.update(projection.counts)
            rows = rows_of([span.run for span in projection.spans], targets, names)
            rows = snapped(rows, translation) if self.units == "words" else rows
            out.append(Carried(i, text, translation, rows, projection, alignment, tuple(places), tuple(targets)))
        return out, counts

    def _carried(
        self, source: Domain, pairs: Pairs | None, translator: Any, aligner: Any
    ) -> tuple[list[Carried] | None, dict[str, int]]:
        """What `carry` gives; None where there is nothing to translate with."""
        if pairs is None and translator is None:
            return None, {}
        carried, counts = self.carry(source, pairs, translator, aligner)
        counts["unsure"] = sum(sentence.confidence < self.least_confidence for sentence in carried)
        return carried, dict(counts)

    def _learnt_from(
        self, source: Domain, carried: Sequence[Carried] | None, names: Sequence[str]
    ) -> list[tuple[list[str], list[str]]]:
        """Step 3 or 5: the tokens and tags of sentences to learn from; none without a token."""
        out = []
        if carried is None or self.learn_from == "both":
            for text, rows in zip(source.x.tolist(), source.labels):
                places = pieces(text)
                out.append((cut(text, places), tags_of(places, rows, names)))
        for sentence in carried or ():
            if sentence.confidence >= self.least_confidence:
                tags = tags_of(sentence.targets, sentence.rows, names)
                out.append((cut(sentence.translation, sentence.targets), tags))
        return [(words, tags) for words, tags in out if words]

    # -- F: the tagger -----------------------------------------------------------------------------------------

    def _learn(self, learnt: Sequence[tuple[list[str], list[str]]], model: nn.Module | None) -> None:
        sentences, tags = [words for words, _ in learnt], [labels for _, labels in learnt]
        if model is None and self.engine == "crfsuite":
            crf = linear_crf.learn(
                sentences, tags, self.tags_, l1=self.l1, l2=self.l2, iterations=self.iterations,
                least=self.least_count, sentence=self.sentence,
            )  # fmt: skip
            self.tagger_ = None
            self.attributes_, self.weights_, self.steps_ = crf.attributes, crf.weights, crf.steps
            return
        encoder = hashed_letters() if model is None else copy.deepcopy(model)
        tagger = sequence_tagger(encoder, self.tags_, self.hidden, self.dropout)
        index = {tag: i for i, tag in enumerate(self.tags_)}
        train_tagger(
            tagger, sentences, [[index[tag] for tag in labels] for labels in tags], name="crosslingual-am",
            epochs=self.epochs, batch_size=self.batch_size, learning_rate=self.learning_rate,
            encoder_rate=self.encoder_rate, weight_decay=self.weight_decay,
        )  # fmt: skip
        self.tagger_ = tagger

    def _linear(self) -> LinearCRF:
        """The CRF of what was learnt, put together once."""
        kept = vars(self).get("_made")
        if kept is None or kept.weights is not self.weights_:
            kept = LinearCRF(self.tags_, self.attributes_, self.weights_, self.steps_, self.sentence)
            vars(self)["_made"] = kept
        return kept

    def tags(self, words: Sequence[str]) -> tuple[list[str], list[float]]:
        """The BIO tag of each token of one sentence, and how sure it is."""
        if not words:
            return [], []
        if self.tagger_ is None:
            linear = self._linear()
            return best_tags(linear.emissions(words), linear.chain(), self.tags_)
        with torch.no_grad():
            scores, _ = self.tagger_.emissions([list(words)])  # type: ignore[operator]
        return best_tags(scores[0].float(), self.tagger_.crf, self.tags_)  # type: ignore[arg-type]

    def mark(self, x: Any) -> list[list[Marked]]:
        """The spans of each text with how sure each is: the mean over its tokens of the probability of their tags."""
        out = []
        for text in x.tolist():
            places = pieces(text)
            tags, sure = self.tags(cut(text, places))
            runs = runs_of(tags)
            ends = [(places[run.start][0], places[run.stop - 1][1], self.names_.index(run.label)) for run in runs]
            shares = [float(np.mean(sure[run.start : run.stop])) for run in runs]
            out.append([Marked(*end, share) for end, share in zip(ends, shares)])
        return out


def _check(pairs: Any, translator: Any, aligner: Any, model: Any) -> None:
    check_translations(pairs, translator)
    if aligner is not None and not isinstance(aligner, Aligner):
        expected = f"a name, fit(source, target) and align(source, target); got {type(aligner).__name__}"
        raise TypeError(f"aligner must have {expected}")
    if model is not None and not isinstance(model, TokenEncoder):
        raise TypeError(f"model must have a width and vectors(sentences); got {type(model).__name__}")
