"""Two-tower encoders as networks that train: both towers whole, or their last layers on frozen features."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unseen.encoders.base import Encoder
from unseen.encoders.clip import ClipTokens
from unseen.encoders.lite_clip import ConSE, conse
from unseen.encoders.promptable import image_network, text_network, tokenizer_of, two_towers
from unseen.encoders.registry import get
from unseen.encoders.text import TextPreprocess
from unseen.encoders.towers import ImageSide
from unseen.encoders.two_tower import TwoTowerEncoder
from unseen.encoders.unread import which
from unseen.nn.convnet import small_convnet
from unseen.nn.dual_encoder import (
    BytePairs,
    DualEncoder,
    TextReader,
    WordPieces,
    dual_encoder,
    feature_head,
    perceptron,
    side_head,
    text_reader,
    token_text,
)
from unseen.nn.layer_statistics import row_reader
from unseen.nn.multilingual_text import Grams, gram_text, learnt_pieces
from unseen.nn.prompting import PooledText, PromptableTowers, pooled_text
from unseen.nn.towers import text_tower
from unseen.runtime import reproducible


class Heads(NamedTuple):
    """The last layers of two towers, and the encoder of pictures whose features they read."""

    towers: DualEncoder
    reading: Encoder


def whole_towers(encoder: Encoder) -> DualEncoder:
    """A copy of both towers of an encoder (``lite-clip``, ``open_clip:...``), from batches of its preprocessing.

    Raises
    ------
    TypeError
        If it has no two towers.
    ValueError
        If a tower, or how it numbers texts, is not known.
    """
    encoder = two_towers(encoder)
    if isinstance(encoder.image.module, ImageSide):
        return copy.deepcopy(encoder.image.module.model).eval().requires_grad_(True)
    image, text = image_network(encoder), token_text(text_network(encoder))
    towers = dual_encoder(image, text, _numbers(encoder).to_json(), encoder.logit_scale)
    return towers.eval().requires_grad_(True)


def tower_heads(encoder: Encoder, hidden: int = 256) -> Heads:
    """Small layers beside two frozen towers, which change nothing at first, on features that can be kept.

    They stand beside the identity of the shared space on either side; in lite-clip, whose space holds little of a
    picture, the image side reads EfficientNet-Lite0's features, beside its frozen classifier.

    Parameters
    ----------
    encoder : TwoTowerEncoder
    hidden : int, >= 1
        Width of a layer.
    """
    encoder = two_towers(encoder)
    tower, reading = encoder.image.module, encoder
    base: Any = None
    reader = EncodedTexts(encoder.name)
    if isinstance(tower, ConSE):
        last: Any = tower.probabilities.network.get_classifier()  # type: ignore[operator]
        n, dim = tower.vectors.shape
        base = conse(perceptron((last.in_features, last.out_features)), n, dim, tower.top)
        base.vectors.copy_(tower.vectors)
        base.probabilities.network[0].load_state_dict(last.state_dict())
        reading = get(encoder.name.replace("lite-clip", "efficientnet-lite0", 1), precision=encoder.precision)  # type: ignore[assignment]
        reader = EncodedTexts("minilm")
    else:
        reader.encoder = encoder
    with reproducible(0):
        image = side_head(base, reading.dim, encoder.dim, hidden)
        text = side_head(None, encoder.dim, encoder.dim, hidden)
    towers = dual_encoder(image, text, reader.to_json(), encoder.logit_scale)
    towers.reader = reader
    return Heads(towers.eval(), reading)


class Fresh(NamedTuple):
    """Two towers that have read nothing yet, and the encoder of pictures whose features theirs reads."""

    towers: DualEncoder
    reading: Encoder


def small_text(word: int = 64, dim: int = 64) -> PooledText:
    """Two layers of a transformer that begin with MiniLM's word vectors, of which the first principal components.

    Parameters
    ----------
    word : int
        Width of a token's vector, a multiple of 4.
    dim : int
        Of what it gives.
    """
    vectors = get("minilm", precision="fp32").module.transformer.get_input_embeddings().weight.detach()  # type: ignore[operator, union-attr]
    centred = vectors - vectors.mean(dim=0)
    axes = torch.linalg.eigh(centred.T @ centred).eigenvectors[:, -word:]
    words = centred @ axes
    sizes = {"hidden_size": word, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 4 * word}
    limits = {"vocab_size": len(words), "max_position_embeddings": 64}
    text = pooled_text({"model_type": "bert", **sizes, **limits}, dim=dim)
    text.table.data.copy_(0.02 * words / words.std())
    return text


def fresh_towers(reading: Encoder, dim: int = 64, hidden: int = 256, dropout: float = 0.3) -> Fresh:
    """A small tower of pictures on features of an encoder, and a small one of texts that knows MiniLM's words.

    Parameters
    ----------
    reading : Encoder
        Of pictures; it rests, so that its features can be kept.
    dim : int
        Of the space that both learn.
    """
    minilm = get("minilm", precision="fp32")
    tokens = minilm.preprocess
    assert isinstance(tokens, TextPreprocess)
    reader = WordPieces(tokens.tokenizer.backend_tokenizer.to_str(), tokens.limit)
    with reproducible(0):
        text = token_text(small_text(dim=dim))
        image = feature_head(reading.dim, dim, hidden, dropout)
    return Fresh(dual_encoder(image, text, reader.to_json(), 1 / 0.07), reading)


def multilingual_towers(
    reading: Encoder | None, captions: Sequence[str], *, text: str = "grams", dim: int = 128, dropout: float = 0.3
) -> Fresh:
    """Two towers that know nothing yet, for captions in any languages.

    Parameters
    ----------
    reading : Encoder, optional
        Of pictures, which rests: a perceptron learns on its features. Without it a small convolutional network reads
        pictures of any size, whose crops it can then learn from.
    captions : sequence of str
        In all languages: pieces of words are learnt from them.
    text : {"grams", "byte-pairs"}
        The mean of hashed parts of words, or two layers of a transformer on byte pairs in one vocabulary.
    dim : int
        Of the space that both learn.
    """
    if text not in ("grams", "byte-pairs"):
        raise ValueError(f"text must be grams or byte-pairs; got {text!r}")
    with reproducible(0):
        if text == "grams":
            numbers: TextReader = Grams()
            network: nn.Module = gram_text(numbers.buckets, 128, 256, dim)  # type: ignore[attr-defined]
        else:
            pieces = WordPieces(learnt_pieces(captions), 64)
            numbers = pieces
            network = text_tower(pieces.vocabulary, 64, 128, 32, (4, 4), (512, 512), dim)
        image: nn.Module = small_convnet(dim) if reading is None else feature_head(reading.dim, dim, 512, dropout)
    towers = dual_encoder(image, network, numbers.to_json(), 1 / 0.07)
    return Fresh(towers, get("pixels?size=64&crop=1") if reading is None else reading)


def shared_space(encoder: Encoder) -> PromptableTowers:
    """The towers of a two-tower encoder for features of its shared space, which it has read before.

    There are no layers to read: what stands for a picture is its vector. Texts are read, and prompted by vectors, as by
    `promptable`.

    Raises
    ------
    TypeError
        If it has no two towers.
    ValueError
        If its text tower takes no prompts of vectors.
    """
    encoder = two_towers(encoder)
    towers = PromptableTowers(
        row_reader((), encoder.dim), text_network(encoder), encoder.logit_scale, tokenizer_of(encoder.text)
    )
    towers.reader = EncodedTexts(encoder.name)
    towers.reader.encoder = encoder
    return towers


def attach(towers: Any, encoder: Encoder | None) -> None:
    """Let saved heads read texts by this encoder: one that came with a saved model cannot be had by its name."""
    reader = getattr(towers, "reader", None)
    if isinstance(reader, EncodedTexts) and isinstance(encoder, TwoTowerEncoder) and encoder.name == reader.name:
        reader.encoder = encoder


@text_reader("encoder")
class EncodedTexts:
    """Vectors of texts by a frozen encoder, which is loaded when it is asked first.

    Parameters
    ----------
    name : str
        What `unseen.encoders.get` calls it.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.encoder: Encoder | None = None

    def __call__(self, texts: Sequence[str]) -> Float[Tensor, "n d"]:
        """Vectors of texts, which are kept on disk."""
        from unseen.data.domain import Domain

        return torch.from_numpy(self._loaded().encode(Domain(x=list(texts), kind="text", name="texts")).x)

    def cuts(self, texts: Sequence[str]) -> list[bool]:
        """Which texts are longer than the encoder reads, as far as its tokenizer tells."""
        return which(self._loaded(), "cuts", texts)

    def unspelt(self, texts: Sequence[str]) -> list[bool]:
        """Which texts are nothing to the encoder but unknown tokens, as far as its tokenizer tells."""
        return which(self._loaded(), "unspelt", texts)

    def _loaded(self) -> Encoder:
        if self.encoder is None:
            self.encoder = get(self.name, precision="fp32")
        return self.encoder

    def noise(self, n: int, length: int, generator: torch.Generator | None = None) -> Float[Tensor, "n d"]:
        """Random unit vectors."""
        width = self(["a"]).shape[1]
        return torch.nn.functional.normalize(torch.randn(n, width, generator=generator), dim=1)

    def to_json(self) -> Mapping[str, Any]:
        """The name."""
        return {"kind": "encoder", "name": self.name}

    def __deepcopy__(self, memo: dict[int, Any]) -> EncodedTexts:
        return self

    def __getstate__(self) -> dict[str, Any]:
        """What travels to another process: the name, by which the encoder is had there."""
        return {"name": self.name, "encoder": None}


def _numbers(encoder: TwoTowerEncoder) -> TextReader:
    """How the encoder's texts are numbered, in a form that is saved with the towers."""
    tokens = encoder.text.preprocess
    if isinstance(tokens, TextPreprocess):
        return WordPieces(tokens.tokenizer.backend_tokenizer.to_str(), tokens.limit)
    context = getattr(getattr(tokens, "tokenizer", None), "context_length", None)
    if isinstance(tokens, ClipTokens) and type(tokens.tokenizer).__name__ == "SimpleTokenizer":
        return BytePairs(int(context or 77))
    raise ValueError(
        f"encoder {encoder.name!r} numbers texts in a way that cannot be saved: it needs CLIP's byte pairs"
    )
