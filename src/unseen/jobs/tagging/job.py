"""`unseen tag`: an annotated corpus of translations, a tagger of it, and spans in texts."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unseen import methods as registry
from unseen.data.domain import Domain
from unseen.data.loaders.marked import Marks, read_marked
from unseen.data.pairs import Pairs
from unseen.data.tagged import cut, pieces
from unseen.data.tasks.base import objects
from unseen.evaluation.drive import Once, Together
from unseen.evaluation.exam import Exam
from unseen.evaluation.tasks.spans import with_texts
from unseen.jobs.tagging.tagger import ABOUT, METHOD, Sentence, Tagger
from unseen.methods.base import signatures
from unseen.methods.listing import kind_of, of_kind
from unseen.methods.span_taggers import Carried, Marked, SpanProjector, SpanTagger, rows_of_marks
from unseen.nn.linear_crf import require
from unseen.nn.protocols import Translator
from unseen.nn.state import refuse_foreign
from unseen.nn.taggers import token_encoder
from unseen.nn.translators import aligner as aligner_of
from unseen.nn.translators import translator as translator_of

Figures = Mapping[str, float]
DEFAULT, SIMPLE = "crosslingual-am", "whole-or-named"
"""What learns if nothing is named; and of the baselines, which all stand beside it where a tagger is graded, the one
that is called simple."""
ALIGNER = "ibm1"


@dataclasses.dataclass(frozen=True)
class Translated:
    """Where translations come from, and how words are aligned.

    Parameters
    ----------
    file : path, optional
        Translations, one for each sentence of the source, in their order: a text in each line, or a file of marked
        spans, whose spans are not read.
    translator : str, optional
        See `unseen.nn.translators.translator`.
    aligner : str
        See `unseen.nn.translators.aligner`.
    """

    file: str | os.PathLike[str] | None = None
    translator: str | None = None
    aligner: str = ALIGNER

    @property
    def asked(self) -> bool:
        """Whether anything is translated."""
        return self.file is not None or self.translator is not None


@dataclasses.dataclass(frozen=True)
class Corpus:
    """An annotated corpus made of translations.

    Attributes
    ----------
    domain : Domain
        Translations with projected spans.
    carried : list of Carried
    counts : Counter
        What happened to the spans, see `Projection.counts`.
    read : Marks
        What the source held.
    method : str
        Slug of what projected.
    units : str
    differing : tuple of int
        Sentences, as places in `carried`, on which another aligner decides otherwise; empty where none was asked.
    translated : Marks, optional
        What the file of translations held.
    """

    domain: Domain
    carried: list[Carried]
    counts: Counter[str]
    read: Marks
    method: str
    units: str
    differing: tuple[int, ...] = ()
    translated: Marks | None = None

    @property
    def difficult(self) -> list[int]:
        """Sentences that a person should look at, the least sure first.

        A span was lost, classes differ, another aligner differs, or a span is less sure than 0.75.
        """
        at = {
            k
            for k, sentence in enumerate(self.carried)
            if sentence.confidence < 0.75
            or Counter(run.label for run in sentence.projection.spans) != Counter(self._labels(sentence.at))
        }
        return sorted(at | set(self.differing), key=lambda k: (self.carried[k].confidence, k))

    def _labels(self, i: int) -> list[str]:
        classes = self.read.domain.classes
        return [] if classes is None else [classes.names[k] for k in self.read.domain.labels[i][:, 2].tolist()]


@dataclasses.dataclass(frozen=True)
class Trained:
    """A tagger, and how it does.

    Attributes
    ----------
    tagger : Tagger
    figures : mapping of arm to figures
        On the test file: the tagger; where it is none of these, the CRF of crosslingual-am ("crfsuite"), whole-or-named
        ("simple") and other packages' baselines by their slugs on the same sentences; and, where something was
        translated, the same tagger with the same encoder on the source alone ("zero-shot"). Empty without a test.
    counts : mapping
        Of the projection; empty where nothing was translated.
    read : Marks
    graded : int
        Sentences of the test file.
    shared : int
        Those of them that stand among the texts that were learnt from, the source's or the translations, by their words
        without regard to case and white space.
    translated : Marks, optional
        What the file of translations held.
    """

    tagger: Tagger
    figures: Mapping[str, Figures]
    counts: Mapping[str, int]
    read: Marks
    graded: int
    shared: int = 0
    translated: Marks | None = None


@dataclasses.dataclass(frozen=True)
class Run:
    """Spans in a file.

    Attributes
    ----------
    read : Marks
    marks : list of list of Marked
    figures : mapping
        Where the file has spans of its own.
    tagger : Tagger
    """

    read: Marks
    marks: list[list[Marked]]
    figures: Figures
    tagger: Tagger

    @property
    def domain(self) -> Domain:
        """The texts with the spans that were found."""
        return self.read.domain.replace(y=rows_of_marks(self.marks), classes=self.tagger.classes)


# -- the three wishes --------------------------------------------------------------------------------------


def project(
    source: str | os.PathLike[str],
    by: Translated,
    *,
    method: str = DEFAULT,
    settings: Mapping[str, Any] | None = None,
    second: str | None = None,
    format: str | None = None,
) -> Corpus:
    """Annotate translations of an annotated file.

    Parameters
    ----------
    source : path
        Texts with marked spans (`unseen.data.loaders.marked.read_marked`).
    by : Translated
    method : str
        Slug of a method that carries spans over, one of `projectors`.
    settings : mapping
        Hyperparameters of the method.
    second : str, optional
        Another aligner; sentences on which the two decide otherwise are told.
    format : str, optional
        Of the source.
    """
    if not by.asked:
        raise ValueError("translations: name a file of translations, or a translator")
    read = _annotated(source, "source", format)
    pairs, translated = _pairs(read, by)
    units = {"units": "words" if _tokenized(translated) else "pieces"}
    projector = _with_units(kind_of(method, SpanProjector, "source"), {**units, **(settings or {})})
    translator = None if by.translator is None else translator_of(by.translator)
    carried, counts = projector.carry(read.domain, pairs, translator, aligner_of(by.aligner))
    differing: tuple[int, ...] = ()
    if second is not None:
        others, _ = projector.carry(read.domain, pairs, translator, aligner_of(second))
        differing = tuple(k for k, (a, b) in enumerate(zip(carried, others)) if a.rows.tolist() != b.rows.tolist())
    ids = read.domain.ids
    assert ids is not None
    domain = Domain(
        x=np.array([sentence.translation for sentence in carried], dtype=np.str_),
        y=objects(sentence.rows for sentence in carried),
        kind="text",
        task="spans",
        classes=read.domain.classes,
        ids=ids[[sentence.at for sentence in carried]],
        name=f"{read.domain.name} projected",
    )
    units |= projector.get_params()
    return Corpus(domain, carried, counts, read, method, units["units"], differing, translated)


def train(
    source: str | os.PathLike[str],
    by: Translated | None = None,
    *,
    test: str | os.PathLike[str] | None = None,
    method: str = DEFAULT,
    encoder: str | None = None,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    format: str | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Trained:
    """Learn a tagger from an annotated file, or from its translations.

    Parameters
    ----------
    source : path
    by : Translated, optional
        Without it the tagger learns the language of the source.
    test : path, optional
        An annotated file in the language that the tagger is for; which of its sentences were learnt from is counted.
    method : str
        Slug of a method that marks spans, one of `taggers`.
    encoder : str, optional
        ``letters``, ``minilm`` or ``transformer:PLACE``: a GRU and a CRF on these vectors; python-crfsuite if absent.
        For methods that read a model.
    settings : mapping
        Hyperparameters of the method.
    seed : int
    say : callable
        Takes lines about what goes on.
    """
    by = by or Translated()
    params = dict(settings or {})
    learner = method_of(method, params)
    words = _check_words(learner, by, encoder)
    read = _annotated(source, "source", format)
    exam_of = None if test is None else _annotated(test, "test", None, read.domain.classes)
    pairs, translated = _pairs(read, by)
    units = {"units": "words"} if _tokenized(translated) else {}
    translator = None if by.translator is None else _Noting(translator_of(by.translator))
    network = encoder is not None and (encoder != "letters" or "engine" not in learner.get_params())
    inputs = {
        "source": read.domain, "pairs": pairs, "translator": translator,
        "aligner": aligner_of(by.aligner) if by.asked else None,
        "model": token_encoder(str(encoder)) if network else None,  # each arm learns on a copy
    }  # fmt: skip
    engine = {} if encoder is None else {"engine": "gru"}
    learner = _with_those_it_has(type(learner), {**units, **engine, **params, "random_state": seed})
    arms = {"tagger": (learner, words)}
    if exam_of is not None:
        arms |= _beside(learner, {**units, **params, "random_state": seed}, by.asked)
    if any(_is_crf(candidate) for candidate, _ in arms.values()):
        require()
    figures: dict[str, Figures] = {}
    learnt = [*read.domain.x.tolist(), *(() if pairs is None else pairs.right.x.tolist())]
    if exam_of is not None and (same := shared(exam_of.domain.x.tolist(), learnt)):
        say(f"caution: {same:,} of {len(exam_of.domain):,} sentences of the test stand in what is learnt from, too")
    for name, (candidate, reads) in arms.items():
        say(f"{name}: learns from {len(read.domain)} sentences")
        arm = {word: value for word, value in inputs.items() if word in reads and value is not None}
        if exam_of is None:
            candidate.fit(**arm)
        else:
            figures[name] = graded(candidate, arm, exam_of)
    about = {
        "source": read.domain.name, "sentences": len(read.domain),
        "encoder": encoder or vars(learner).get("engine", ""),
        "translated": by.asked, "aligner": by.aligner if "aligner" in words and by.asked else "", "seed": seed,
        "settings": params,
    }  # fmt: skip
    tagger = Tagger(learner, about)
    learnt += [] if translator is None else translator.known.values()
    tested = [] if exam_of is None else exam_of.domain.x.tolist()
    return Trained(tagger, figures, learner.counts_, read, len(tested), shared(tested, learnt), translated)


Arm = tuple[SpanTagger, tuple[str, ...]]
"""A method, and the words of its `fit` that it is given."""


def _beside(learner: SpanTagger, settings: Mapping[str, Any], translated: bool) -> dict[str, Arm]:
    """What a tagger is graded beside."""
    arms: dict[str, Arm] = {}
    seed = {"random_state": settings["random_state"]}
    if not _is_crf(learner):
        base = settings if learner.card.slug == DEFAULT else seed
        units = {name: value for name, value in settings.items() if name == "units"}
        crf = method_of(DEFAULT, {**base, **units, "engine": "crfsuite"})
        arms["crfsuite"] = (crf, tuple(word for word in _words(crf) if word != "model"))
    for slug in taggers():
        if registry.get(slug).card.baseline and slug != learner.card.slug:
            simple = method_of(slug, seed)
            arms["simple" if slug == SIMPLE else slug] = (simple, _words(simple))
    if translated:
        arms["zero-shot"] = (type(learner)(**learner.get_params()), ("source", "model"))
    return arms


def _is_crf(method: SpanTagger) -> bool:
    """Whether it is the CRF that stands beside others."""
    return method.card.slug == DEFAULT and method.get_params()["engine"] == "crfsuite"


def _words(method: SpanTagger) -> tuple[str, ...]:
    """The words of `fit` that a method reads."""
    return tuple(word for way in signatures(type(method)) for word in (*way.required, *way.optional))


def _check_words(method: SpanTagger, by: Translated, encoder: str | None) -> tuple[str, ...]:
    """The words of `fit`; raise `ValueError` where something is named that the method does not read."""
    words, slug = _words(method), method.card.slug
    named = {
        "translations": (by.file, "pairs"), "translator": (by.translator, "translator"),
        "aligner": (by.aligner if by.aligner != ALIGNER else None, "aligner"), "encoder": (encoder, "model"),
    }  # fmt: skip
    for argument, (value, word) in named.items():
        if value is not None and word not in words:
            raise ValueError(f"{argument}: {slug} reads none; leave out {os.fspath(value)!r}, or name another method")
    return words


class _Noting:
    """A translator whose translations are kept, so that every arm learns from the same and none is made twice."""

    def __init__(self, translator: Translator) -> None:
        self.translator, self.known = translator, dict[str, str]()

    def translate(self, texts: Sequence[str]) -> list[str]:
        """As the translator."""
        new = [text for text in dict.fromkeys(texts) if text not in self.known]
        translations = self.translator.translate(new) if new else []
        if len(translations) != len(new):
            raise ValueError(f"translator must give a text for each, {len(new)}; it gave {len(translations)}")
        self.known |= zip(new, translations)
        return [self.known[text] for text in texts]


def shared(texts: Sequence[str], learnt: Sequence[str]) -> int:
    """How many texts stand among those that were learnt from, by their words and signs without regard to case."""
    known = {_plain(text) for text in learnt}
    return sum(_plain(text) in known for text in texts)


def _plain(text: str) -> str:
    return " ".join(cut(text, pieces(text))).casefold()


def graded(method: SpanTagger, given: Mapping[str, Any], test: Marks) -> Figures:
    """The figures of a method that learns from `given` and is asked about `test` once."""
    classes = test.domain.classes
    once = Once(
        lambda truth, predicted: with_texts(test.domain.x, truth, predicted, classes),
        lambda fitted, samples: rows_of_marks(Tagger(fitted).mark(_as_asked(samples.x.tolist(), test.format))),
    )
    return dict(once(method, given, Exam(test.domain, classes)).metrics)


def _as_asked(texts: Sequence[str], format: str) -> list[str]:
    """Texts of a file as a tagger is asked about them.

    CoNLL says where sentences end, and texts without spans were cut by what stands in them. The others were cut around
    the spans that people marked, of which a tagger must not know: it cuts them again by itself.
    """
    return [Sentence(text) for text in texts] if format in ("conll", "text") else list(texts)


def run(texts: str | os.PathLike[str], tagger: Tagger, *, format: str | None = None) -> Run:
    """Mark spans in a file of texts; where it has spans of its own, the tagger is graded by them."""
    read = read_marked(texts, format=format)
    domain = read.domain
    strange = [
        name for name in (() if domain.classes is None else domain.classes.names) if name not in tagger.classes.names
    ]
    if strange:
        detail = f"{strange[0]!r}, which is none of the tagger's: {', '.join(tagger.classes.names)}"
        raise ValueError(f"texts: {os.fspath(texts)!r} marks spans of {detail}")
    if domain.y is not None:
        read = read_marked(texts, format=format, classes=tagger.classes)
        domain = read.domain
    marks = tagger.mark(_as_asked(domain.x.tolist(), read.format))
    figures: Figures = {}
    if domain.y is not None:
        grade = Together(lambda truth, predicted: with_texts(domain.x, truth, predicted, tagger.classes))
        figures = grade(Exam(domain, tagger.classes), {"tagger": rows_of_marks(marks)})["tagger"]
    return Run(read, marks, figures, tagger)


# -- reading -----------------------------------------------------------------------------------------------


def refuse_model(folder: Path) -> None:
    """Raise `FileExistsError` where a tagger could not be written, before any work."""
    refuse_foreign(folder, (ABOUT, METHOD))


def taggers() -> tuple[str, ...]:
    """All methods that mark spans, by slug, those of other packages, too."""
    return of_kind(SpanTagger, "source")


def projectors() -> tuple[str, ...]:
    """All methods that carry spans over to translations, by slug, those of other packages, too."""
    return of_kind(SpanProjector, "source")


def method_of(slug: str, settings: Mapping[str, Any]) -> SpanTagger:
    """The method with these hyperparameters.

    Raises
    ------
    ValueError
        If it marks no spans, or has no such hyperparameter; the message names those that there are.
    """
    return kind_of(slug, SpanTagger, "source")(**settings)


def _with_units(cls: type[SpanProjector], settings: Mapping[str, Any]) -> SpanProjector:
    """The method with these hyperparameters, but for `units` where it has none."""
    return cls(**{name: value for name, value in settings.items() if name != "units" or name in cls().get_params()})


def _with_those_it_has(cls: type[SpanTagger], settings: Mapping[str, Any]) -> SpanTagger:
    known = cls().get_params()
    return cls(**{name: value for name, value in settings.items() if name in known})


def _annotated(file: str | os.PathLike[str], argument: str, format: str | None, classes: Any = None) -> Marks:
    """A file whose sentences have spans, without those of which nothing is known."""
    read = read_marked(file, format=format, classes=classes)
    if read.domain.y is None or not any(len(rows) for rows in read.domain.y if rows is not None):
        odd = [f"{n:,} {name}" for name, n in read.counts.items() if n and name not in ("sentences", "spans")]
        reasons = f" ({', '.join(odd)})" if odd else ""
        first = f"; {read.domain.skipped[0].where}: {read.domain.skipped[0].why}" if read.domain.skipped else ""
        raise ValueError(f"{argument}: {os.fspath(file)!r} marks no span{reasons}{first}")
    if not read.domain.labeled.all():
        read.counts["unlabelled texts left out"] += int((~read.domain.labeled).sum())
        read = dataclasses.replace(read, domain=read.domain.take(read.domain.labeled))
    return read


def _pairs(read: Marks, by: Translated) -> tuple[Pairs | None, Marks | None]:
    """All sentences with their translations, by number, "" where one was left out; and what the file of these held."""
    if by.file is None:
        return None, None
    translated = read_marked(by.file, split=False)
    source, other = (_total(marks) for marks in (read, translated))
    if source != other:
        raise ValueError(
            f"translations must be as many as the sentences of the source, {source}{_empty(read)}; "
            f"{os.fspath(by.file)!r} has {other}{_empty(translated)}"
        )
    known = dict(zip(np.asarray(translated.domain.ids).tolist(), [text.strip() for text in translated.domain.x]))
    right = [known.get(i, "") for i in np.asarray(read.domain.ids).tolist()]
    texts = [
        Domain(x=x, kind="text", name=marks.domain.name) for x, marks in ((read.domain.x, read), (right, translated))
    ]
    return Pairs(texts[0], texts[1]), translated


def _empty(read: Marks) -> str:
    n = read.counts["empty sentences"]
    return f" ({n} of them empty, an empty line each)" if n else ""


def _tokenized(translated: Marks | None) -> bool:
    """Whether translations come as tokens."""
    return translated is not None and translated.format == "conll"


def _total(marks: Marks) -> int:
    """Sentences of a file, those that were left out too."""
    counts = marks.counts
    return counts["sentences"] + counts["left out"]
