"""What the networks that methods receive can do, one protocol per word of `fit`."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn


class _ByParts(type(Protocol)):  # type: ignore[misc]
    """`isinstance` asks whether what a protocol names is there, parts of a module among it.

    From Python 3.12 on it looks where modules do not keep their parameters, buffers and parts (`getattr_static`), so
    that no network with such a part would keep its protocol.
    """

    def __instancecheck__(cls, instance: Any) -> bool:
        if not cls.__dict__.get("_is_protocol", False):  # a class of its own that says it keeps one
            return type.__instancecheck__(cls, instance)
        kept = (base for base in cls.__mro__ if base.__dict__.get("_is_protocol", False) and base is not Protocol)
        named = {name for base in kept for name in (*vars(base), *inspect.get_annotations(base))}
        return all(hasattr(instance, name) for name in named if not name.startswith("_"))


class _Parts(Protocol, metaclass=_ByParts):
    """What all protocols of networks have: how `isinstance` asks."""


@runtime_checkable
class Classifier(_Parts, Protocol):
    """A network that embeds samples and scores classes: `forward(x) = head(embed(x))`."""

    head: nn.Module

    def embed(self, x: Tensor) -> Float[Tensor, "b d"]:
        """Embeddings, (b, d)."""
        ...

    def __call__(self, x: Tensor) -> Float[Tensor, "b c"]:
        """Class scores (logits), (b, c)."""
        ...


@runtime_checkable
class Segmenter(_Parts, Protocol):
    """A network that embeds every pixel and scores its classes: `forward(x)` is `head(embed(x))` at the picture's size.

    Where a class lies among the pixels of a picture without labels is seen in the features before the last 1 x 1
    convolution: what moves them must not move the classifier, so the two are apart.
    """

    head: nn.Module

    def embed(self, x: Tensor) -> Float[Tensor, "b d g k"]:
        """Features of a grid of places, (b, d, g, k), coarser than the picture perhaps."""
        ...

    def __call__(self, x: Tensor) -> Float[Tensor, "b c h w"]:
        """Class scores (logits) of every pixel, (b, c, h, w)."""
        ...


@runtime_checkable
class TwoTower(_Parts, Protocol):
    """Two networks into one space, as open_clip's models have them."""

    logit_scale: Tensor

    def encode_image(self, image: Tensor) -> Float[Tensor, "b d"]:
        """Vectors of pictures, (b, d)."""
        ...

    def encode_text(self, text: Tensor) -> Float[Tensor, "b d"]:
        """Vectors of texts, (b, d)."""
        ...


@runtime_checkable
class TokenizingTowers(TwoTower, Protocol):
    """Two towers that know how the texts are written which they read (`unseen.nn.dual_encoder`)."""

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """What `encode_text` reads of texts, (n, ...)."""
        ...


class Matches(NamedTuple):
    """Points of two pictures that show the same places, and how sure each is; the surest first."""

    points: Float[np.ndarray, "m 4"]
    scores: Float[np.ndarray, "m"]


@runtime_checkable
class Matcher(_Parts, Protocol):
    """A network that finds the same places in two pictures.

    A word of its own kind: what it gives are pairs of points, not a label of a sample, so no classifier stands for it.
    """

    def match(self, first: UInt8[np.ndarray, "h w 3"], second: UInt8[np.ndarray, "k l 3"]) -> Matches:
        """Rows of x, y in the first picture and x, y in the second, in pixels, the surest first."""
        ...


@runtime_checkable
class TrainableMatcher(Matcher, Protocol):
    """A matcher that can be tuned: it says what its loss is, and which of its parameters learn."""

    def matching_loss(
        self,
        first: Float[Tensor, "b 1 h w"],
        second: Float[Tensor, "b 1 h w"],
        points: Float[Tensor, "b n 4"],
        known: Bool[Tensor, "b n"],
    ) -> Float[Tensor, "b"]:
        """The loss of each pair of grey pictures in [0, 1] whose `known` points belong together."""
        ...

    def tuned(self) -> Iterable[nn.Parameter]:
        """The parameters that learn; all others stay."""
        ...


@runtime_checkable
class Ranker(_Parts, Protocol):
    """A network that says how relevant a document is to a query."""

    def score(self, queries: Sequence[str], documents: Sequence[str]) -> Float[Tensor, "n"]:
        """The relevance of each document to the query at its place, (n,), a logit; with gradients where they are on."""
        ...


@runtime_checkable
class Writer(_Parts, Protocol):
    """A language model that continues prompts."""

    name: str

    def write(self, prompts: Sequence[str], *, longest: int = 64, stop: str = "\n") -> list[str]:
        """Continue each prompt by at most `longest` tokens, up to the first `stop`."""
        ...


@runtime_checkable
class AudioTextSpace(_Parts, Protocol):
    """Two frozen towers into one space of unit vectors: texts, and sounds (`unseen.encoders.sound`)."""

    name: str

    def encode_text(self, texts: Sequence[str]) -> Float[np.ndarray, "n d"]:
        """Unit vectors of texts, (n, d)."""
        ...

    def encode_audio(self, waves: Sequence[np.ndarray]) -> Float[np.ndarray, "n d"]:
        """Unit vectors of sounds, (n, d)."""
        ...


@runtime_checkable
class CaptionDecoder(_Parts, Protocol):
    """A network that continues a prompt of vectors by words (`unseen.nn.captioners`)."""

    width: int

    @property
    def start(self) -> tuple[int, ...]:
        """Tokens before a caption, which are not learnt."""
        ...

    @property
    def ends(self) -> frozenset[int]:
        """Tokens that end one."""
        ...

    @property
    def never(self) -> frozenset[int]:
        """Tokens that no caption holds, such as those that pad."""
        ...

    def caption_ids(self, text: str) -> list[int]:
        """The tokens of a caption, with its end."""
        ...

    def prompt_ids(self, text: str) -> list[int]:
        """The tokens of a prompt."""
        ...

    def text(self, ids: Sequence[int]) -> str:
        """The text of tokens."""
        ...

    def embed(self, ids: Int[Tensor, "n t"]) -> Float[Tensor, "n t d"]:
        """Vectors of tokens."""
        ...

    def hidden(
        self,
        x: Float[Tensor, "n t d"],
        mask: Bool[Tensor, "n k"] | None = None,
        positions: Int[Tensor, "n t"] | None = None,
        memory: Any = None,
    ) -> tuple[Float[Tensor, "n t d"], Any]:
        """Hidden states of vectors that follow what `memory` holds, and the new memory."""
        ...

    def logits(self, hidden: Float[Tensor, "... d"]) -> Float[Tensor, "... v"]:
        """Scores of the next token."""
        ...

    def select(self, memory: Any, rows: Int[Tensor, " m"]) -> Any:
        """The memory of some rows, in this order."""
        ...


@runtime_checkable
class TokenEncoder(_Parts, Protocol):
    """A network from the tokens of sentences to a vector each (`unseen.nn.taggers`)."""

    width: int

    def vectors(self, sentences: Sequence[Sequence[str]]) -> Float[Tensor, "n t d"]:
        """Vectors of tokens, zero behind the end of a sentence; with gradients where they are on."""
        ...


@runtime_checkable
class Translator(_Parts, Protocol):
    """Translates texts."""

    def translate(self, texts: Sequence[str]) -> list[str]:
        """The translation of each text."""
        ...
