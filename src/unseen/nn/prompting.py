"""Text towers that take prompts of vectors: CLIP's transformer, and encoders of the BERT family."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from unseen.nn.build import builder
from unseen.nn.layer_statistics import RowReader
from unseen.nn.towers import TextTower


@dataclasses.dataclass(frozen=True)
class Prompts:
    """K prompts as vectors, with the place for a context behind the first token.

    Attributes
    ----------
    start : Tensor (D_t,)
        Of the token that begins a text.
    rest : Tensor (K, n, D_t)
        Of the words of each class, the full stop, and the token that ends a text; then padding.
    lengths : Tensor (K,), int64
        How many of the n count.
    """

    start: Tensor
    rest: Tensor
    lengths: Tensor

    def __len__(self) -> int:
        return len(self.rest)

    def with_context(self, context: Float[Tensor, "b n_ctx d"]) -> tuple[Float[Tensor, "bk t d"], Int[Tensor, " bk"]]:
        """[SOS][context][name.][EOS] of every context and class, context by context, and their lengths."""
        b, n, width = context.shape
        k = len(self)
        start = self.start.expand(b, k, 1, width)
        between = context[:, None].expand(b, k, n, width)
        rest = self.rest.expand(b, *self.rest.shape)
        vectors = torch.cat([start, between, rest], dim=2).flatten(0, 1)
        return vectors, (1 + n + self.lengths).repeat(b)


class PromptableText(nn.Module, abc.ABC):
    """A text tower from the vectors of tokens to unit vectors; subclasses say how they read them.

    Attributes
    ----------
    context : int
        Tokens that a text may have at most.
    """

    context: int

    @property
    @abc.abstractmethod
    def table(self) -> Tensor:
        """The vectors of all tokens, (V, D_t)."""

    @abc.abstractmethod
    def forward(self, vectors: Float[Tensor, "n t w"], lengths: Int[Tensor, " n"]) -> Float[Tensor, "n d"]:
        """Unit vectors of texts, of which the first `lengths` tokens count."""

    def encode_tokens(self, texts: Sequence[Sequence[int]]) -> Float[Tensor, "n d"]:
        """Unit vectors of tokenized texts."""
        table = self.table
        lengths = torch.tensor([len(ids) for ids in texts], device=table.device)
        ids = [torch.tensor(list(text), dtype=torch.int64, device=table.device) for text in texts]
        return self(F.embedding(nn.utils.rnn.pad_sequence(ids, batch_first=True), table), lengths)

    def prompts(self, texts: Sequence[Sequence[int]], n_context: int, names: Sequence[str]) -> Prompts:
        """Prompts of tokenized class names, between which and the first token a context of `n_context` will stand.

        Raises
        ------
        ValueError
            If a name is too long for what the tower reads.
        """
        for name, ids in zip(names, texts):
            if len(ids) + n_context > self.context:
                sizes = f"{len(ids)} tokens, {n_context} more are context, and the text tower reads {self.context}"
                raise ValueError(f"classes has a name that is too long: {name!r:.80} has {sizes}")
        rest = [torch.tensor(list(ids[1:]), dtype=torch.int64) for ids in texts]
        lengths = torch.tensor([len(ids) for ids in rest])
        table = self.table.detach().cpu()
        return Prompts(table[texts[0][0]], table[nn.utils.rnn.pad_sequence(rest, batch_first=True)], lengths)


class CausalText(PromptableText):
    """CLIP's text transformer, as open_clip has it: causal, read where the text ends.

    Parameters
    ----------
    network : nn.Module
        With open_clip's `transformer`, `token_embedding`, `positional_embedding`, `ln_final`, `text_projection` and
        `attn_mask`.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.context = int(network.positional_embedding.shape[0])  # type: ignore[index]

    @property
    def table(self) -> Tensor:
        """The vectors of all tokens, (V, D_t)."""
        return self.network.token_embedding.weight  # type: ignore[union-attr, return-value]

    def forward(self, vectors: Float[Tensor, "n t w"], lengths: Int[Tensor, " n"]) -> Float[Tensor, "n d"]:
        """Unit vectors of texts; the last of its `lengths` tokens speaks for each."""
        hidden = self._encoded(vectors)
        last = hidden[torch.arange(len(hidden), device=hidden.device), lengths - 1]
        return F.normalize(self._projected(last), dim=1)

    def states(self, vectors: Float[Tensor, "n t w"], lengths: Int[Tensor, " n"]) -> Float[Tensor, "n t d"]:
        """Vectors of all tokens in the shared space, of any length; those behind `lengths` mean nothing."""
        return self._projected(self._encoded(vectors))

    def _encoded(self, vectors: Tensor) -> Tensor:
        net: Any = self.network
        t = vectors.shape[1]
        mask = None if net.attn_mask is None else net.attn_mask[:t, :t]
        return net.ln_final(net.transformer(vectors + net.positional_embedding[:t], attn_mask=mask))

    def _projected(self, x: Tensor) -> Tensor:
        projection: Any = self.network.text_projection
        if projection is None:
            return x
        return projection(x) if isinstance(projection, nn.Module) else x @ projection


class PooledText(PromptableText):
    """An encoder of transformers, such as MiniLM, whose tokens are averaged.

    Parameters
    ----------
    network : nn.Module
        With `inputs_embeds` and `attention_mask`, as transformers has them.
    dim : int, optional
        Width of a linear projection after the average, as towers have that were trained with pictures; none if absent.
    """

    def __init__(self, network: nn.Module, dim: int | None = None) -> None:
        super().__init__()
        self.network = network
        self.projection = None if dim is None else nn.Linear(self.table.shape[1], dim, bias=False)
        self.context = int(network.config.max_position_embeddings)  # type: ignore[union-attr, arg-type]

    @property
    def table(self) -> Tensor:
        """The vectors of all tokens, (V, D_t)."""
        return self.network.get_input_embeddings().weight  # type: ignore[operator]

    def forward(self, vectors: Float[Tensor, "n t w"], lengths: Int[Tensor, " n"]) -> Float[Tensor, "n d"]:
        """Unit vectors of texts: the mean of the tokens that count."""
        hidden, mask = self._encoded(vectors, lengths)
        weight = mask.unsqueeze(-1).to(hidden.dtype)
        mean = (hidden * weight).sum(dim=1) / weight.sum(dim=1)
        return F.normalize(mean if self.projection is None else self.projection(mean), dim=1)

    def states(self, vectors: Float[Tensor, "n t w"], lengths: Int[Tensor, " n"]) -> Float[Tensor, "n t d"]:
        """Vectors of all tokens in the shared space, of any length; those behind `lengths` mean nothing."""
        hidden, _ = self._encoded(vectors, lengths)
        return hidden if self.projection is None else self.projection(hidden)

    def _encoded(self, vectors: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        mask = (torch.arange(vectors.shape[1], device=vectors.device) < lengths[:, None]).long()
        return self.network(inputs_embeds=vectors, attention_mask=mask).last_hidden_state, mask


class TowerText(PromptableText):
    """A text tower of the house, such as `unseen shrink` makes: read at the last token that counts.

    Parameters
    ----------
    network : TextTower
        Of `unseen.nn.towers`.
    """

    def __init__(self, network: TextTower) -> None:
        super().__init__()
        self.network = network
        self.context = len(network.positions)

    @property
    def table(self) -> Tensor:
        """The vectors of all tokens, (V, D_t); of a table of low rank, what its two layers make of each."""
        tokens: Any = self.network.tokens
        if isinstance(tokens, nn.Embedding):
            return tokens.weight
        narrow, wide = tokens
        return wide(narrow.weight)

    def forward(self, vectors: Float[Tensor, "n t w"], lengths: Int[Tensor, " n"]) -> Float[Tensor, "n d"]:
        """Unit vectors of texts; the last of its `lengths` tokens speaks for each."""
        states = self.states(vectors, lengths)
        return F.normalize(states[torch.arange(len(states), device=states.device), lengths - 1], dim=1)

    def states(self, vectors: Float[Tensor, "n t w"], lengths: Int[Tensor, " n"]) -> Float[Tensor, "n t d"]:
        """Vectors of all tokens in the shared space, of any length; those behind `lengths` mean nothing."""
        return self.network.states_of(vectors)


def has_token_vectors(tower: nn.Module) -> bool:
    """Whether it is a text tower of the house with a table of tokens, whole or of low rank (`unseen.nn.low_rank`)."""
    if not isinstance(tower, TextTower):
        return False
    tokens: nn.Module = tower.tokens
    if isinstance(tokens, nn.Sequential):
        return [type(layer) for layer in tokens] == [nn.Embedding, nn.Linear]
    return isinstance(tokens, nn.Embedding)


@builder("tower-text")
def tower_text(network: nn.Module) -> TowerText:
    """A `TowerText` around a text tower."""
    return TowerText(network)  # type: ignore[arg-type]


class PromptableTowers(nn.Module):
    """Two frozen towers into one space, read layer by layer and prompted by vectors.

    Parameters
    ----------
    image : RowReader
        Such as a `LayerReader`.
    text : PromptableText
    logit_scale : float
        Factor of the cosine before a softmax, such as CLIP's 100.
    tokenize : callable
        From texts to the numbers of their tokens, with those that begin and end a text and without padding.

    Attributes
    ----------
    reader : TextReader or None
        How texts of these towers can be had again from a saved model (`unseen.nn.dual_encoder`), where it is known.
    """

    def __init__(
        self,
        image: RowReader,
        text: PromptableText,
        logit_scale: float,
        tokenize: Callable[[Sequence[str]], list[list[int]]],
    ) -> None:
        super().__init__()
        self.image, self.text = image, text
        self.logit_scale = nn.Parameter(torch.tensor(float(logit_scale)).log())
        self.tokenize = tokenize
        self.reader: Any = None
        self.eval().requires_grad_(False)

    def encode_image(self, image: Tensor) -> Float[Tensor, "b d"]:
        """Unit vectors of pictures, or of rows that were read before."""
        return self.image.read(image).embedding

    def encode_texts(self, texts: Sequence[str]) -> Float[Tensor, "n d"]:
        """Unit vectors of texts."""
        return self.text.encode_tokens(self.tokenize(texts))

    def forward(self, x: Tensor) -> Float[Tensor, "b d"]:
        """Unit vectors of pictures, or of rows that were read before."""
        return self.encode_image(x)


@builder("pooled-text")
def pooled_text(config: Mapping[str, Any], dim: int | None = None) -> PooledText:
    """A `PooledText` with fresh weights; `config` is that of transformers, with its `model_type`."""
    from transformers import AutoConfig, AutoModel

    settings = {key: value for key, value in config.items() if key != "model_type"}
    architecture = AutoConfig.for_model(config["model_type"], **settings)
    return PooledText(AutoModel.from_config(architecture, attn_implementation="sdpa").eval(), dim)


def pooled_text_of(network: nn.Module) -> PooledText:
    """A `PooledText` with a copy of the weights of an encoder of transformers."""
    config = {
        key: value
        for key, value in network.config.to_dict().items()  # type: ignore[union-attr, operator]
        if isinstance(value, (int, float, str, bool)) and key not in ("_name_or_path", "transformers_version", "dtype")
    }
    text = pooled_text(config)
    text.network.load_state_dict(network.state_dict())
    return text.eval()
