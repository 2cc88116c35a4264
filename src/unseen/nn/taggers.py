"""Networks that tag the tokens of sentences: a bidirectional GRU and a CRF on hashed letters or on a transformer."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from unseen.nn.build import builder
from unseen.nn.crf import ChainCRF, bio_steps
from unseen.nn.train import Run, train

Sentences = Sequence[Sequence[str]]
SHORTEST, LONGEST = 3, 5
"""Letters of the stretches of a word that are hashed."""


class HashedLetters(nn.Module):
    """Vectors of tokens from the hashes of their letters: words of two languages that look alike are alike.

    Parameters
    ----------
    width, buckets : int, > 0
        Values of a vector, and rows of the table.
    """

    def __init__(self, width: int = 64, buckets: int = 1 << 15) -> None:
        super().__init__()
        self.width, self.buckets = width, buckets
        self.table = nn.EmbeddingBag(buckets, width, mode="mean")
        self.shape = nn.Embedding(len(SHAPES), width)
        self.known: dict[str, list[int]] = {}

    def vectors(self, sentences: Sentences) -> Float[Tensor, "n t d"]:
        """Vectors of tokens, zero behind the end of a sentence."""
        longest = max(len(words) for words in sentences)
        flat = [word for words in sentences for word in words]
        bags = [self._buckets(word) for word in flat]
        device = self.shape.weight.device
        offsets = torch.tensor([0, *map(len, bags)], device=device).cumsum(0)[:-1]
        shapes = torch.tensor([shape_of(word) for word in flat], device=device)
        rows = self.table(torch.tensor([b for bag in bags for b in bag], device=device), offsets) + self.shape(shapes)
        out = rows.new_zeros(len(sentences), longest, self.width)
        return out.masked_scatter(mask_of(sentences, device)[..., None], rows)

    def _buckets(self, word: str) -> list[int]:
        buckets = self.known.get(word)
        if buckets is None:
            buckets = self.known[word] = [zlib.crc32(part.encode()) % self.buckets for part in letters(word)]
        return buckets


SHAPES = ("digits", "with digits", "lower", "title", "upper", "sign", "other")


def shape_of(word: str) -> int:
    """How a word is written, as a place in `SHAPES`."""
    tests = (
        word.replace(".", "").replace(",", "").isdigit(), any(c.isdigit() for c in word), word.islower(),
        word.istitle(), word.isupper(), not any(c.isalnum() for c in word), True,
    )  # fmt: skip
    return tests.index(True)


def letters(word: str) -> list[str]:
    """A word and its stretches of three to five letters, in lower case, with marks at both ends."""
    marked = f"<{word.lower()}>"
    parts = [marked[i : i + n] for n in range(SHORTEST, LONGEST + 1) for i in range(len(marked) - n + 1)]
    return [marked, *(part for part in parts if part != marked)]


def mask_of(sentences: Sentences, device: Any = None) -> Bool[Tensor, "n t"]:
    """Where sentences of unlike lengths have tokens."""
    lengths = torch.tensor([len(words) for words in sentences], device=device)
    return torch.arange(int(lengths.max()), device=device)[None] < lengths[:, None]


class SequenceTagger(nn.Module):
    """Vectors of tokens, a bidirectional GRU, a linear layer and a CRF.

    Parameters
    ----------
    encoder : TokenEncoder
    tags : tuple of str
        BIO tags.
    hidden : int, > 0
        Of each direction.
    dropout : float in [0, 1)
    """

    def __init__(self, encoder: nn.Module, tags: Sequence[str], hidden: int, dropout: float) -> None:
        super().__init__()
        self.encoder = encoder
        self.tags = tuple(tags)
        width = int(encoder.width)  # type: ignore[arg-type]
        self.gru = nn.GRU(width, hidden, batch_first=True, bidirectional=True)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(2 * hidden, len(self.tags))
        self.crf = ChainCRF(len(self.tags))

    def emissions(self, sentences: Sentences) -> tuple[Float[Tensor, "n t k"], Bool[Tensor, "n t"]]:
        """Scores of tags, and where there are tokens."""
        x = self.dropout(self.encoder.vectors(sentences))  # type: ignore[operator]
        mask = mask_of(sentences, x.device)
        packed = nn.utils.rnn.pack_padded_sequence(x, mask.sum(dim=1).cpu(), batch_first=True, enforce_sorted=False)
        hidden, _ = nn.utils.rnn.pad_packed_sequence(self.gru(packed)[0], batch_first=True)
        return self.head(self.dropout(hidden)), mask

    def loss(self, sentences: Sentences, tags: Sequence[Sequence[int]]) -> Float[Tensor, ""]:
        """The negative log-likelihood of the tags."""
        scores, mask = self.emissions(sentences)
        rows = [torch.as_tensor(row) for row in tags]
        return self.crf.loss(scores, nn.utils.rnn.pad_sequence(rows, batch_first=True).to(scores.device), mask)


@builder("hashed-letters")
def hashed_letters(width: int = 64, buckets: int = 1 << 15) -> nn.Module:
    """A `HashedLetters`."""
    return HashedLetters(width, buckets)


@builder("sequence-tagger")
def sequence_tagger(encoder: nn.Module, tags: Sequence[str], hidden: int = 64, dropout: float = 0.3) -> nn.Module:
    """A `SequenceTagger`."""
    return SequenceTagger(encoder, tags, hidden, dropout)


# -- transformers --------------------------------------------------------------------------------------------


class TransformerTokens(nn.Module):
    """Vectors of tokens from a transformer: of each, the mean of its pieces.

    Parameters
    ----------
    transformer : nn.Module
        An encoder of transformers.
    tokenizer : str
        A fast tokenizer as JSON.
    width : int
        Values of a vector.
    limit : int
        Pieces that are read together; a longer sentence is read in parts, so that no token is lost.
    """

    def __init__(self, transformer: nn.Module, tokenizer: str, width: int, limit: int) -> None:
        super().__init__()
        from unseen.nn.rankers import read_tokenizer

        self.transformer, self.width, self.limit = transformer, width, limit
        self.tokenizer = read_tokenizer(tokenizer, None)

    def vectors(self, sentences: Sentences) -> Float[Tensor, "n t d"]:
        """Vectors of tokens, zero behind the end of a sentence."""
        parts = [(i, a, b, ids, owner) for i, words in enumerate(sentences) for a, b, ids, owner in self._parts(words)]
        device = next(self.parameters()).device
        out = torch.zeros(len(sentences), max(map(len, sentences)), self.width, device=device)
        n = max(len(ids) for _, _, _, ids, _ in parts)
        numbers = torch.zeros(len(parts), n, dtype=torch.int64, device=device)
        mask = torch.zeros_like(numbers)
        for row, (_, _, _, ids, _) in enumerate(parts):
            numbers[row, : len(ids)], mask[row, : len(ids)] = torch.tensor(ids, device=device), 1
        states = self.transformer(input_ids=numbers, attention_mask=mask).last_hidden_state
        for row, (i, a, b, _, owner) in enumerate(parts):
            at = torch.tensor([k for k, token in enumerate(owner) if token >= 0], device=device)
            words = torch.tensor([token for token in owner if token >= 0], device=device)
            sums = states.new_zeros(b - a, self.width).index_add(0, words, states[row, at])
            counts = torch.bincount(words, minlength=b - a).clamp(min=1)[:, None]
            out[i, a:b] = (sums / counts).to(out.dtype)
        return out

    def _parts(self, words: Sequence[str]) -> list[tuple[int, int, list[int], list[int]]]:
        """Stretches of a sentence that fit: first token, the one behind the last, pieces and their tokens (-1: none).

        A token without any piece, or of more than fit, has those that fit.
        """
        marks = self.tokenizer.encode("").ids
        before, after = (marks[:1], marks[1:]) if len(marks) > 1 else ([], marks)
        room = self.limit - len(before) - len(after)
        encoded = self.tokenizer.encode_batch(
            [[word] for word in words], is_pretokenized=True, add_special_tokens=False
        )
        pieces = [encoding.ids[:room] for encoding in encoded]
        parts, start, size = [], 0, 0
        for k, ids in enumerate([*pieces, [0] * (room + 1)]):
            if size + len(ids) > room and k > start:
                inner = [(piece, j - start) for j in range(start, k) for piece in pieces[j]]
                ids_of = [*before, *(piece for piece, _ in inner), *after]
                owner = [*[-1] * len(before), *(j for _, j in inner), *[-1] * len(after)]
                parts.append((start, k, ids_of, owner))
                start, size = k, 0
            size += len(ids)
        return parts


@builder("transformer-tokens")
def transformer_tokens(config: dict[str, Any], tokenizer: str, limit: int = 128) -> nn.Module:
    """A `TransformerTokens` with fresh weights, of a configuration with its `model_type`."""
    from transformers import AutoConfig, AutoModel

    transformer = AutoModel.from_config(AutoConfig.for_model(**config))
    return TransformerTokens(transformer, tokenizer, int(transformer.config.hidden_size), limit)


def token_encoder(name: str, limit: int = 128) -> nn.Module:
    """Vectors of tokens by name: ``letters``, ``minilm``, or ``transformer:`` with a folder or a name on the hub.

    Raises
    ------
    ValueError
        If there is no such encoder.
    ImportError
        If the package of minilm is missing; the message is the command that installs it.
    """
    from unseen.nn.rankers import config_of, minilm_folder, pretrained

    scheme, _, place = name.partition(":")
    if name == "letters":
        return hashed_letters()
    if name != "minilm" and not (scheme == "transformer" and place):
        raise ValueError(
            f"encoder must be letters, minilm or transformer:PLACE, a folder or a name on the hub; got {name!r}"
        )
    transformer, tokenizer = pretrained("AutoModel", minilm_folder() if name == "minilm" else place)
    encoder: Any = transformer_tokens(config_of(transformer), tokenizer.backend_tokenizer.to_str(), limit)
    encoder.transformer.load_state_dict(transformer.state_dict())
    return encoder.eval()


# -- asking --------------------------------------------------------------------------------------------------


@torch.no_grad()
def best_tags(scores: Float[Tensor, "t k"], crf: ChainCRF, tags: Sequence[str]) -> tuple[list[str], list[float]]:
    """The best tags of a sentence that are spans, and how sure each is."""
    allowed, first = bio_steps(tags)
    guarded = scores.clone()
    guarded[0, ~first] += -1e4
    path = crf.viterbi(guarded, allowed)
    sure = crf.marginals(scores)
    return [tags[k] for k in path], [float(sure[i, k]) for i, k in enumerate(path)]


def train_tagger(
    tagger: nn.Module,
    sentences: Sentences,
    tags: Sequence[Sequence[int]],
    *,
    name: str,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    encoder_rate: float,
    weight_decay: float,
) -> Run:
    """Train a `SequenceTagger` on sentences with the index of each token's tag.

    Parameters
    ----------
    tagger : SequenceTagger
        Changed in place.
    sentences, tags
        None may be empty.
    name : str
        Of the stage.
    epochs, batch_size, learning_rate, weight_decay
    encoder_rate : float, >= 0
        The learning rate of the encoder; 0 leaves it as it is.
    """
    of_encoder = list(tagger.encoder.parameters())  # type: ignore[union-attr]
    inside = {id(p) for p in of_encoder}
    groups = [{"params": [p for p in tagger.parameters() if id(p) not in inside], "lr": learning_rate}]
    if encoder_rate:
        groups.append({"params": [p for p in of_encoder if p.requires_grad], "lr": encoder_rate})
    else:
        tagger.encoder.requires_grad_(False)
    optimizer = torch.optim.AdamW(groups, weight_decay=weight_decay)
    steps = -(-len(sentences) // batch_size)

    def objective(index: Tensor, run: Run) -> Tensor:
        rows = index.tolist()
        return tagger.loss([sentences[i] for i in rows], [tags[i] for i in rows])  # type: ignore[operator]

    def batches(run: Run) -> Iterator[Tensor]:
        yield from torch.split(torch.randperm(len(sentences), generator=run.generator), batch_size)

    tagger.train()
    total = epochs * steps
    slope = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: max(1 - step / total, 0.0))
    return train(
        objective, name=name, nets={"tagger": tagger}, optimizers={"tagger": optimizer}, schedulers={"linear": slope},
        batches=batches, epochs=epochs, steps_per_epoch=steps, clip=5.0,
    )  # fmt: skip
