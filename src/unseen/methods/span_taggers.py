"""What marks spans of texts: what all such methods share, what they need, and a small example of it."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unseen.data.domain import Domain
from unseen.data.pairs import Pairs
from unseen.data.tagged import Place, Run
from unseen.data.tasks.base import objects
from unseen.methods.base import Method
from unseen.methods.needs import Given, Need
from unseen.methods.verbs import gives
from unseen.nn.protocols import Translator
from unseen.nn.word_alignment import Aligner, Alignment


class Marked(NamedTuple):
    """A span that a tagger found: characters, class, and how sure it is, in [0, 1]."""

    start: int
    stop: int
    label: int
    confidence: float


class SpanTagger(Method):
    """What all methods have that mark spans; `unseen tag train` takes any subclass, those of other packages, too.

    `fit` takes a `source` of texts whose labels are spans. The job gives what else its signature names: `pairs` of
    sentences and their translations, a `translator`, an `aligner`, and a `model` that gives vectors of tokens. A
    subclass gives the spans in `mark`.

    Attributes
    ----------
    names_ : tuple of str
        What classes are called.
    counts_ : dict
        What became of sentences and spans; empty where nothing was translated.

    Notes
    -----
    Spans are rows of first character, character behind the last, and class.
    """

    names_: tuple[str, ...] = dataclasses.field(init=False)
    counts_: dict[str, int] = dataclasses.field(init=False)

    @gives("spans")
    def mark(self, x: Any) -> list[list[Marked]]:
        """The spans of each text with how sure each is."""
        raise TypeError(f"{type(self).__name__} marks no spans")

    @gives("classes")
    def predict(self, x: Any) -> NDArray[Any]:
        """The spans of each text, (n,), each an array (spans, 3) of first character, end and class."""
        return rows_of_marks(self.mark(x))


@dataclasses.dataclass(frozen=True)
class Projected:
    """A span of a translation, and where it is from.

    Attributes
    ----------
    start, stop : int
        Its first token, and the one behind its last.
    label : str
    confidence : float
        In [0, 1]: see `confidence_of`; 1 where the whole sentence is one span.
    sources : tuple of int
        Which spans of the source it is made of.
    unaligned : tuple of int
        Tokens of these that no link leaves.
    """

    start: int
    stop: int
    label: str
    confidence: float = 0.0
    sources: tuple[int, ...] = ()
    unaligned: tuple[int, ...] = ()

    @property
    def run(self) -> Run:
        """The span without where it is from."""
        return Run(self.start, self.stop, self.label)


@dataclasses.dataclass(frozen=True)
class Projection:
    """The tags of a translation, its spans, and what happened on the way.

    Attributes
    ----------
    tags : tuple of str
    spans : tuple of Projected
    counts : Counter
        ``spans`` of the source; ``lost`` ones, and of these the ``dropped``, none of whose tokens has a link;
        ``saved``, which have no link either but are there by the rules afterwards; ``filled`` tokens in gaps; ``cut``
        tokens of groups that were too far apart; ``merged`` and ``deleted`` spans that met another; ``whole`` sentences
        that are one span and ``corrected`` tokens, by the rules; ``unaligned`` tokens of spans.
    lost : tuple of int
        Spans of the source that are not in the translation.
    """

    tags: tuple[str, ...]
    spans: tuple[Projected, ...]
    counts: Counter[str]
    lost: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Carried:
    """A sentence with its translation and what was projected.

    Attributes
    ----------
    at : int
        Place of the sentence in the source.
    text, translation : str
    rows : int array (spans, 3)
        Spans of the translation, in characters.
    projection : Projection
    alignment : Alignment
    places, targets : tuple of places
        The tokens of both.
    """

    at: int
    text: str
    translation: str
    rows: NDArray[np.int64]
    projection: Projection
    alignment: Alignment
    places: tuple[Place, ...]
    targets: tuple[Place, ...]

    @property
    def confidence(self) -> float:
        """Of the least sure span; 1 where there is none, 0 where one was lost."""
        if self.projection.lost:
            return 0.0
        return min((span.confidence for span in self.projection.spans), default=1.0)


class SpanProjector(SpanTagger):
    """What carries spans over to translations, and can show it; `unseen tag project` takes any subclass.

    Where translations come as tokens, a hyperparameter `units`, if it has one, is set to ``"words"``.
    """

    def carry(
        self,
        source: Domain,
        pairs: Pairs | None = None,
        translator: Translator | None = None,
        aligner: Aligner | None = None,
    ) -> tuple[list[Carried], Counter[str]]:
        """The sentences of `source` with translations and projected spans, and what was counted; nothing is learnt.

        Parameters
        ----------
        source : Domain
            Texts of the task spans.
        pairs : Pairs, optional
            Texts (left) and their translations (right); those that are no sentence of the source help to align.
        translator : Translator, optional
            For what has no translation in `pairs`.
        aligner : Aligner, optional
            A copy of it learns from all pairs.
        """
        raise TypeError(f"{type(self).__name__} carries no spans over")


def rows_of_marks(marks: Sequence[Sequence[Marked]]) -> NDArray[Any]:
    """Spans as the task keeps them, (n,)."""
    return objects(np.array([span[:3] for span in spans], dtype=np.int64).reshape(-1, 3) for spans in marks)


def names_of(source: Domain) -> tuple[str, ...]:
    """What the classes of a domain are called."""
    if source.classes is not None:
        return source.classes.names
    highest = max((int(rows[:, 2].max()) for rows in source.labels if len(rows)), default=0)
    return tuple(f"class {i}" for i in range(highest + 1))


def translations(source: Domain, pairs: Pairs | None, translator: Translator | None) -> list[str | None]:
    """The translation of each sentence, None where there is none.

    A sentence that stands several times has that of its place among the pairs with it, the last one if they are fewer.

    Raises
    ------
    ValueError
        If no sentence has a translation, or the translator gives another number of texts than it was given.
    """
    known: dict[str, list[str]] = {}
    for left, right in () if pairs is None else zip(pairs.left.x.tolist(), pairs.right.x.tolist()):
        known.setdefault(left, []).append(right)
    translated: list[str | None] = []
    for text in source.x.tolist():
        options = known.get(text, [""])
        translation = options.pop(0) if len(options) > 1 else options[0]
        translated.append(translation if translation.strip() else None)
    missing = [i for i, text in enumerate(translated) if text is None]
    if translator is not None and missing:
        written = translator.translate([str(source.x[i]) for i in missing])
        if len(written) != len(missing):
            raise ValueError(f"translator must give a text for each, {len(missing)}; it gave {len(written)}")
        for i, text in zip(missing, written):
            translated[i] = str(text) if str(text).strip() else None
    if all(text is None for text in translated):
        raise ValueError(
            "pairs must hold a translation of one sentence of source at least; no left text is one of them"
        )
    return translated


def check_translations(pairs: Any, translator: Any) -> None:
    """Raise `ValueError` if pairs are not of texts, `TypeError` if a translator does not translate."""
    if pairs is not None and (pairs.left.kind, pairs.right.kind) != ("text", "text"):
        raise ValueError(f"pairs must be of texts; they are of kind {pairs.left.kind} and {pairs.right.kind}")
    if translator is not None and not isinstance(translator, Translator):
        raise TypeError(f"translator must have translate(texts); got {type(translator).__name__}")


# -- needs -------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class MarkedSentences(Need):
    """A `source` of sentences whose labels are spans (task spans)."""

    first: ClassVar[bool] = True
    makes: ClassVar[tuple[str, ...]] = ("pairs", "translator", "aligner", "model")

    def lacks(self, given: Given) -> str | None:
        """Return that the source has no spans."""
        source = given.inputs.get("source")
        if isinstance(source, Domain) and source.task == "spans":
            return None
        return "learns from sentences with marked spans: unseen tag"

    def example(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return phrases whose last word is marked, their translations, and small parts."""
        from unseen.nn.taggers import hashed_letters
        from unseen.nn.word_alignment import IBM1
        from unseen.runtime import reproducible

        source = inputs.get("source")
        if not isinstance(source, Domain):
            return {}
        y = objects(
            np.array([[text.rindex(" ") + 1 if " " in text else 0, len(text), label]])
            for text, label in zip(source.x.tolist(), source.labels.tolist())
        )
        marked = source.replace(y=y, task="spans")
        texts = dict.fromkeys(source.x.tolist())
        left = np.array([*texts][:-2], dtype=np.str_)
        right = np.array(Backwards().translate(left.tolist()), dtype=np.str_)
        pairs = Pairs(Domain(x=left, kind="text", name="sentences"), Domain(x=right, kind="text", name="translations"))
        with reproducible(3):
            model = hashed_letters(8, 64).eval()
        return {
            "source": marked, "pairs": pairs, "translator": Backwards(), "aligner": IBM1(iterations=2), "model": model,
        }  # fmt: skip


class Backwards:
    """A translator into a language whose words are written backwards: for tests and examples."""

    name = "backwards"

    def translate(self, texts: Sequence[str]) -> list[str]:
        """Each word with its letters in the other order."""
        return [" ".join(word[::-1] for word in str(text).split()) for text in texts]
