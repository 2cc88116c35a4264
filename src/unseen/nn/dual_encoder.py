"""Two towers into one space that are trained: pictures on one side, texts and how they are numbered on the other."""

from __future__ import annotations

import importlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from unseen.nn.build import builder
from unseen.nn.prompting import PromptableText

NOTHING = -1
"""Stands behind the last token of a text."""
SPACE = "▁"
"""The piece that stands for a space in vocabularies of SentencePiece."""
AT_ONCE = 256
"""Pictures, or texts, that a tower reads together when nothing is learnt."""


@runtime_checkable
class TextReader(Protocol):
    """From texts to what a text tower reads; it is rebuilt from the values of `to_json`."""

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """What the tower reads of each text, (n, ...)."""
        ...

    def noise(self, n: int, length: int, generator: torch.Generator | None = None) -> Tensor:
        """As much of `n` meaningless texts of `length` tokens."""
        ...

    def to_json(self) -> Mapping[str, Any]:
        """Its kind, and what else it is made of."""
        ...


R = TypeVar("R", bound=Callable[..., TextReader])
_READERS: dict[str, Callable[..., TextReader]] = {}
READER_HOMES = {"encoder": "encoders.trainable", "grams": "nn.multilingual_text"}
"""Module in `unseen` of each kind of reader that does not stand here: a file never names what is imported."""


def text_reader(kind: str) -> Callable[[R], R]:
    """Register a class of readers under the name that saved towers have for it."""

    def register(make: R) -> R:
        _READERS[kind] = make
        return make

    return register


def reader_of(record: Mapping[str, Any]) -> TextReader:
    """The reader that said this of itself; `ValueError` if there is none of its kind."""
    kind = record.get("kind")
    if kind not in _READERS and kind in READER_HOMES:
        importlib.import_module(f"unseen.{READER_HOMES[kind]}")
    if kind not in _READERS:
        known = ", ".join(sorted({*_READERS, *READER_HOMES}))
        raise ValueError(f"no reader of texts is of the kind {kind!r}; there are {known}")
    return _READERS[kind](**{key: value for key, value in record.items() if key != "kind"})


class _Numbers:
    """Readers that number tokens: rows of int64, `NOTHING` behind the end of each text."""

    first, last = 0, 1
    """Tokens that begin and end a text."""
    vocabulary = 2

    def noise(self, n: int, length: int, generator: torch.Generator | None = None) -> Tensor:
        """Random tokens between the two that begin and end a text."""
        middle = torch.randint(self.vocabulary, (n, length), generator=generator)
        ends = (torch.full((n, 1), token, dtype=torch.int64) for token in (self.first, self.last))
        begin, end = ends
        return torch.cat([begin, middle, end], dim=1)

    def unspelt(self, texts: Sequence[str]) -> list[bool]:
        """Which texts are nothing to it but unknown tokens: none, as a number stands for every letter."""
        return [False] * len(texts)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return self  # nothing in it changes


@text_reader("letters")
class Letters(_Numbers):
    """A number for every letter, for towers of a moment."""

    first, last, vocabulary = 30, 31, 30

    def __init__(self, limit: int = 30) -> None:
        self.limit = limit

    def __call__(self, texts: Sequence[str]) -> Int[Tensor, "n t"]:
        """Begin, letters, end."""
        return padded([[30, *(ord(letter) % 30 for letter in text[: self.limit - 2]), 31] for text in texts])

    def cuts(self, texts: Sequence[str]) -> list[bool]:
        """Which texts are longer than it reads."""
        return [len(text) > self.limit - 2 for text in texts]

    def to_json(self) -> Mapping[str, Any]:
        """Where it cuts."""
        return {"kind": "letters", "limit": self.limit}


@text_reader("word-pieces")
class WordPieces(_Numbers):
    """Pieces of words by the JSON of a `tokenizers.Tokenizer`, such as MiniLM's; longer texts are cut at `limit`."""

    def __init__(self, tokenizer: str, limit: int) -> None:
        from tokenizers import Tokenizer

        self.tokenizer, self.limit = tokenizer, limit
        self._made = Tokenizer.from_str(tokenizer)
        self._made.no_padding()
        self._made.enable_truncation(limit)
        begin, *_, end = self._made.encode("a").ids
        self.first, self.last, self.vocabulary = begin, end, self._made.get_vocab_size()

    def __call__(self, texts: Sequence[str]) -> Int[Tensor, "n t"]:
        """Pieces with the tokens that begin and end a text."""
        return padded([encoding.ids for encoding in self._made.encode_batch(list(texts))])

    def cuts(self, texts: Sequence[str]) -> list[bool]:
        """Which texts are longer than it reads."""
        return [bool(encoding.overflowing) for encoding in self._made.encode_batch(list(texts))]

    def unspelt(self, texts: Sequence[str]) -> list[bool]:
        """Which texts are nothing to it but unknown tokens."""
        model = json.loads(self.tokenizer)["model"]
        unknown = self._made.token_to_id(model["unk_token"]) if model.get("unk_token") else model.get("unk_id")
        nothing = {self.first, self.last, self._made.token_to_id(SPACE), unknown}
        pieces = (set(encoding.ids) for encoding in self._made.encode_batch(list(texts)))
        return [unknown in ids and ids <= nothing for ids in pieces]

    def to_json(self) -> Mapping[str, Any]:
        """The whole tokenizer."""
        return {"kind": "word-pieces", "tokenizer": self.tokenizer, "limit": self.limit}


@text_reader("byte-pairs")
class BytePairs(_Numbers):
    """CLIP's byte pairs, as open_clip ships them."""

    def __init__(self, context: int = 77) -> None:
        import open_clip

        self.context = context
        self._made = open_clip.SimpleTokenizer(context_length=context)
        self.first, self.last = self._made.sot_token_id, self._made.eot_token_id
        self.vocabulary = min(self.first, self.last)

    def __call__(self, texts: Sequence[str]) -> Int[Tensor, "n t"]:
        """Byte pairs with the tokens that begin and end a text: the largest number ends it."""
        return padded([row[: int(row.argmax()) + 1].tolist() for row in self._made(list(texts))])

    def cuts(self, texts: Sequence[str]) -> list[bool]:
        """Which texts are longer than it reads."""
        return [len(self._made.encode(text)) + 2 > self.context for text in texts]

    def to_json(self) -> Mapping[str, Any]:
        """How many tokens a text may have."""
        return {"kind": "byte-pairs", "context": self.context}


def padded(rows: Sequence[Sequence[int]]) -> Int[Tensor, "n t"]:
    """Numbers of tokens as one tensor."""
    ids = [torch.tensor(list(row), dtype=torch.int64) for row in rows]
    return nn.utils.rnn.pad_sequence(ids, batch_first=True, padding_value=NOTHING)


@torch.no_grad()
def in_parts(encode: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """What a tower makes of many samples, some at a time; texts of each part end where its longest ends."""
    return torch.cat([encode(trimmed(part)) for part in torch.split(x, AT_ONCE)])


def trimmed(x: Tensor, of_all: Callable[[int], int] = int) -> Tensor:
    """Numbers of tokens without columns that are behind the end of every text.

    Parameters
    ----------
    of_all : callable
        The longest text of all processes by that of this one (`unseen.nn.parallel.largest`), where widths must agree.
    """
    if x.is_floating_point() or x.ndim != 2:
        return x
    return x[:, : of_all(int((x != NOTHING).sum(dim=1).max()))]


class TokenText(nn.Module):
    """A text tower that reads the numbers of tokens.

    Parameters
    ----------
    text : PromptableText
    """

    def __init__(self, text: PromptableText) -> None:
        super().__init__()
        self.text = text

    def forward(self, tokens: Int[Tensor, "n t"]) -> Float[Tensor, "n d"]:
        """Unit vectors of texts."""
        return self.text(*self._embedded(tokens))

    def states(self, tokens: Int[Tensor, "n t"]) -> Float[Tensor, "n t d"]:
        """Vectors of all tokens in the shared space, of any length, where the tower keeps them apart."""
        states: Any = getattr(self.text, "states", None)
        if states is None:
            raise TypeError(f"text: a {type(self.text).__name__} gives one vector of a text, none of its tokens")
        return states(*self._embedded(tokens))

    def _embedded(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        return F.embedding(tokens.clamp(min=0), self.text.table), (tokens != NOTHING).sum(dim=1)


@builder("token-text")
def token_text(text: nn.Module) -> TokenText:
    """A text tower that reads numbers of one that reads vectors."""
    return TokenText(text)  # type: ignore[arg-type]


class SideHead(nn.Module):
    """base(x) + W2 gelu(W1 norm(x)): a tower that changes nothing before it has learnt anything, as W2 is 0.

    Parameters
    ----------
    base : nn.Module
        From features (b, n) to vectors (b, d), such as the identity; it rests.
    into, out, hidden : int
        n, d, and the width in between.
    """

    def __init__(self, base: nn.Module, into: int, out: int, hidden: int) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        first, last = nn.Linear(into, hidden), nn.Linear(hidden, out)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.side = nn.Sequential(nn.LayerNorm(into, elementwise_affine=False), first, nn.GELU(), last)

    def forward(self, x: Float[Tensor, "b n"]) -> Float[Tensor, "b d"]:
        """Vectors moved a little."""
        return self.base(x) + self.side(x)


@builder("side-head")
def side_head(base: nn.Module | None, into: int, out: int, hidden: int = 256) -> SideHead:
    """A `SideHead` beside a network, or beside the identity if there is none."""
    return SideHead(nn.Identity() if base is None else base, into, out, hidden)


@builder("perceptron")
def perceptron(widths: Sequence[int]) -> nn.Sequential:
    """Linear layers of these widths with GELU between them: a small tower on frozen features."""
    layers: list[nn.Module] = []
    for into, out in zip(widths, widths[1:]):
        layers += [nn.GELU(), nn.Linear(into, out)]
    return nn.Sequential(*layers[1:])


class Standardized(nn.Module):
    """(x - centre) / spread, of the features that a head was made for."""

    centre: Tensor
    spread: Tensor

    def __init__(self, into: int) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(into))
        self.register_buffer("spread", torch.ones(into))

    def forward(self, x: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
        """Features about 0 with a spread of about 1."""
        return (x - self.centre) / self.spread

    @torch.no_grad()
    def measure(self, x: Float[Tensor, "n d"]) -> None:
        """Take centre and spread from features; one that is the same everywhere stays as it is."""
        self.centre.copy_(x.mean(dim=0))
        spread = x.std(dim=0, correction=0)
        self.spread.copy_(torch.where(spread > 1e-6, spread, torch.ones_like(spread)))


@builder("feature-head")
def feature_head(into: int, out: int, hidden: int = 512, dropout: float = 0.0) -> nn.Sequential:
    """A small tower on frozen features: standardized, then a perceptron of one hidden layer, or a line if it is 0."""
    if not hidden:
        return nn.Sequential(Standardized(into), nn.Linear(into, out))
    layers = (nn.Linear(into, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, out))
    return nn.Sequential(Standardized(into), *layers)


class DualEncoder(nn.Module):
    """Two towers into one space, with open_clip's interface, that read pictures (or features of them) and texts.

    Parameters
    ----------
    image, text : nn.Module
        From a batch of pictures, and from what `reader` gives of texts, to vectors of one width.
    reader : TextReader
    logit_scale : float
        Factor of the cosine before a softmax, such as CLIP's 100; its logarithm is kept, as in CLIP.
    """

    def __init__(self, image: nn.Module, text: nn.Module, reader: TextReader, logit_scale: float) -> None:
        super().__init__()
        self.image, self.text, self.reader = image, text, reader
        self.logit_scale = nn.Parameter(torch.tensor(math.log(logit_scale)))

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """What `encode_text` reads of texts."""
        return self.reader(texts)

    def encode_image(self, image: Tensor) -> Float[Tensor, "b d"]:
        """Unit vectors of pictures."""
        return F.normalize(self.image(image), dim=1)

    def encode_text(self, text: Tensor) -> Float[Tensor, "b d"]:
        """Unit vectors of texts that were tokenized."""
        return F.normalize(self.text(text), dim=1)

    def forward(self, image: Tensor) -> Float[Tensor, "b d"]:
        """Unit vectors of pictures."""
        return self.encode_image(image)


@builder("dual-encoder")
def dual_encoder(image: nn.Module, text: nn.Module, reader: Mapping[str, Any], logit_scale: float) -> DualEncoder:
    """A `DualEncoder`; `reader` is what its reader says of itself."""
    return DualEncoder(image, text, reader_of(reader), logit_scale)


class NamedClasses(nn.Module):
    """An image tower with the vectors of named classes: from pictures to s <z, w_k>.

    Parameters
    ----------
    image : nn.Module
    weights : Tensor (k, d)
        Unit vectors of the classes.
    scale : float
        s.
    """

    weights: Tensor

    def __init__(self, image: nn.Module, weights: Tensor, scale: float) -> None:
        super().__init__()
        self.image, self.scale = image, scale
        self.register_buffer("weights", weights)

    def forward(self, x: Tensor) -> Float[Tensor, "b k"]:
        """Scores of the classes."""
        return self.scale * F.normalize(self.image(x), dim=1) @ self.weights.T


@builder("named-classes")
def named_classes(image: nn.Module, classes: int, dim: int, scale: float) -> NamedClasses:
    """A `NamedClasses` without its vectors."""
    return NamedClasses(image, torch.zeros(classes, dim), scale)


PHOTO = ("a photo of a {}.",)
"""The template of a class name where none is given."""


def sentence(template: str, name: str) -> str:
    """What a template says of a class."""
    return template.replace("{}", name.replace("_", " "))


def templates_of(prompts: Any, usual: tuple[str, ...] = PHOTO) -> tuple[str, ...]:
    """Templates, found to be texts with one place {} for a name each; the usual ones if there are none.

    Raises
    ------
    TypeError, ValueError
        If they are something else.
    """
    if prompts is None:
        return usual
    if isinstance(prompts, str) or not isinstance(prompts, Sequence):
        raise TypeError(f"prompts must be a list of texts with a place {{}} for a name; got {type(prompts).__name__}")
    for text in prompts:
        if not isinstance(text, str) or text.count("{}") != 1:
            raise ValueError(f"prompts must be texts with one place {{}} for the name of a class; got {text!r}")
    if not prompts:
        raise ValueError("prompts must hold at least one template; it is empty")
    return tuple(prompts)


@torch.no_grad()
def class_vectors(towers: Any, names: Sequence[str], templates: Sequence[str] = PHOTO) -> Float[Tensor, "k d"]:
    """Of each class the mean over templates of the unit vectors of its texts, of unit length."""
    texts = [sentence(template, name) for name in names for template in templates]
    vectors = in_parts(towers.encode_text, towers.tokenize(texts))
    return F.normalize(vectors.view(len(names), len(templates), -1).mean(dim=1), dim=1)
