"""Decoders of captions: they continue a prompt of vectors by words. A small one from scratch, and any causal model."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from unseen.data.caption_words import caption_words, counted
from unseen.nn import writers
from unseen.nn.build import builder
from unseen.nn.rankers import read_tokenizer

PAD, BEGIN, END, UNKNOWN = 0, 1, 2, 3
SPECIAL = ("<pad>", "<begin>", "<end>", "<unknown>")
TURN = 1000.0
"""Base of the angles by which places are told: one base for a prompt of any length."""


class SmallDecoder(nn.Module):
    """A causal transformer over whole words, whose input and output tables are one; places are told by rotation.

    Parameters
    ----------
    words : sequence of str
        Its vocabulary, without the four special ones.
    read : int
        How many of the last words stand in prompts alone, and are never said.
    width, layers, heads : int
    dropout : float
    """

    def __init__(
        self,
        words: Sequence[str],
        read: int,
        width: int,
        layers: int,
        heads: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.said = len(SPECIAL) + len(words) - read
        self.words = (*SPECIAL, *words)
        self.number = {word: i for i, word in enumerate(self.words)}
        self.width = width
        self.table = nn.Embedding(len(self.words), width)
        self.heads = heads
        self.blocks = nn.ModuleList(_Block(width, heads, dropout) for _ in range(layers))
        self.last = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        nn.init.normal_(self.table.weight, std=width**-0.5)

    @property
    def start(self) -> tuple[int, ...]:
        """What stands before a caption."""
        return (BEGIN,)

    @property
    def ends(self) -> frozenset[int]:
        """What ends one."""
        return frozenset({END})

    @property
    def never(self) -> frozenset[int]:
        """What is never said: what pads, begins, or stands for words that are not known."""
        return frozenset({PAD, BEGIN, UNKNOWN})

    def caption_ids(self, text: str) -> list[int]:
        """The numbers of a caption's words, with its end."""
        numbers = (self.number.get(word, UNKNOWN) for word in caption_words(text))
        return [*(number if number < self.said else UNKNOWN for number in numbers), END]

    def prompt_ids(self, text: str) -> list[int]:
        """The numbers of a prompt's words; a comma is a word."""
        return [self.number.get(word, UNKNOWN) for word in prompt_words(text)]

    def text(self, ids: Sequence[int]) -> str:
        """A caption as it is read."""
        caption = " ".join(self.words[i] for i in ids if i >= len(SPECIAL))
        return re.sub(r" (?='|n't)", "", caption)

    def embed(self, ids: Int[Tensor, "n t"]) -> Float[Tensor, "n t d"]:
        """Vectors of words, as long as those of a prompt."""
        return self.table(ids) * self.width**0.5

    def hidden(
        self,
        x: Float[Tensor, "n t d"],
        mask: Bool[Tensor, "n k"] | None = None,
        positions: Int[Tensor, "n t"] | None = None,
        memory: Any = None,
    ) -> tuple[Float[Tensor, "n t d"], Any]:
        """Hidden states of vectors that follow what `memory` holds, and the new memory.

        Without a mask every row is read from left to right: what pads it must stand at its end.
        """
        n, t, _ = x.shape
        if positions is None:
            positions = torch.arange(t, device=x.device).expand(n, t)
        x, turns = self.dropout(x), angles(positions, self.width // self.heads)
        seen = None
        if mask is not None:
            k = mask.shape[1]
            causal = torch.ones(t, k, dtype=torch.bool, device=x.device).tril(k - t)
            seen = (causal[None] & mask[:, None])[:, None]
        memories = []
        for i, block in enumerate(self.blocks):
            x, kept = block(x, turns, seen, None if memory is None else memory[i])
            memories.append(kept)
        return self.last(x), memories

    def logits(self, hidden: Float[Tensor, "... d"]) -> Float[Tensor, "... v"]:
        """Scores of the next word."""
        return F.linear(hidden, self.table.weight[: self.said])

    @staticmethod
    def select(memory: Any, rows: Int[Tensor, " m"]) -> Any:
        """The memory of some rows, in this order."""
        return [(k[rows], v[rows]) for k, v in memory]

    def forward(self, x: Float[Tensor, "n t d"]) -> Float[Tensor, "n t v"]:
        """Scores of every next word."""
        return self.logits(self.hidden(x)[0])


def angles(positions: Int[Tensor, "n t"], width: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines by which the halves of queries and keys are turned at their places, (n, 1, t, width / 2)."""
    rates = TURN ** -(torch.arange(width // 2, device=positions.device) * 2 / width)
    turn = positions[:, None, :, None].float() * rates
    return turn.cos(), turn.sin()


def turned(x: Float[Tensor, "n h t w"], turns: tuple[Tensor, Tensor]) -> Float[Tensor, "n h t w"]:
    """Rotated by place (RoPE): products of a query and a key then depend on how far apart they stand."""
    (a, b), (cos, sin) = x.chunk(2, dim=-1), turns
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)


class _Block(nn.Module):
    """Attention and a perceptron, each after a norm and beside what came in."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, turns: tuple[Tensor, Tensor], seen: Tensor | None, memory: Any) -> tuple[Tensor, Any]:
        n, t, d = x.shape
        q, k, v = self.qkv(self.norms[0](x)).view(n, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        q, k = turned(q, turns), turned(k, turns)
        if memory is not None:
            k, v = torch.cat([memory[0], k], dim=2), torch.cat([memory[1], v], dim=2)
        a = F.scaled_dot_product_attention(q, k, v, attn_mask=seen, is_causal=seen is None)
        x = x + self.dropout(self.out(a.transpose(1, 2).reshape(n, t, d)))
        return x + self.dropout(self.down(F.gelu(self.up(self.norms[1](x))))), (k, v)


class CausalDecoder(nn.Module):
    """A causal language model of transformers, such as GPT-2, that continues vectors.

    Parameters
    ----------
    model : of transformers
    tokenizer : str
        Its fast tokenizer as JSON.
    """

    start: tuple[int, ...] = ()

    def __init__(self, model: Any, tokenizer: str) -> None:
        super().__init__()
        self.model = model
        self.tokenizer = read_tokenizer(tokenizer, None)
        self.width = int(model.get_input_embeddings().weight.shape[1])
        taken = inspect.signature(model.base_model.forward).parameters
        self._memory_word = "cache" if "cache" in taken else "past_key_values"  # its name from transformers 5.24 on
        end = model.config.eos_token_id
        self.finish = int(end[0] if isinstance(end, (list, tuple)) else end)

    @property
    def ends(self) -> frozenset[int]:
        """What ends a caption: the model's own end, or a full stop."""
        stop = self.tokenizer.encode(".", add_special_tokens=False).ids
        return frozenset({self.finish, *(stop if len(stop) == 1 else ())})

    @property
    def never(self) -> frozenset[int]:
        """Special tokens of the tokenizer other than those that end a caption."""
        special = {i for i, token in self.tokenizer.get_added_tokens_decoder().items() if token.special}
        return frozenset(special - self.ends)

    def caption_ids(self, text: str) -> list[int]:
        """The tokens of a caption, as they follow other words, with its end."""
        return [*self.prompt_ids(text.strip().rstrip(".").strip()), self.finish]

    def prompt_ids(self, text: str) -> list[int]:
        """The tokens of a prompt; the space before the first word is told, too."""
        return self.tokenizer.encode(f" {text.strip()}", add_special_tokens=False).ids

    def text(self, ids: Sequence[int]) -> str:
        """A caption as it is read."""
        ends = self.ends
        return " ".join(self.tokenizer.decode([i for i in ids if i not in ends]).split())

    def embed(self, ids: Int[Tensor, "n t"]) -> Float[Tensor, "n t d"]:
        """Vectors of tokens."""
        return self.model.get_input_embeddings()(ids)

    def hidden(
        self,
        x: Float[Tensor, "n t d"],
        mask: Bool[Tensor, "n k"] | None = None,
        positions: Int[Tensor, "n t"] | None = None,
        memory: Any = None,
    ) -> tuple[Float[Tensor, "n t d"], Any]:
        """As `SmallDecoder.hidden`."""
        arguments: dict[str, Any] = {"inputs_embeds": x, "use_cache": mask is not None}
        if mask is not None:
            arguments |= {"attention_mask": mask.long(), "position_ids": positions, self._memory_word: memory}
        output = self.model.base_model(**arguments)
        return output.last_hidden_state, None if mask is None else writers.memory_of(output)

    def logits(self, hidden: Float[Tensor, "... d"]) -> Float[Tensor, "... v"]:
        """Scores of the next token."""
        return self.model.get_output_embeddings()(hidden)

    @staticmethod
    def select(memory: Any, rows: Int[Tensor, " m"]) -> Any:
        """The memory of some rows, in this order."""
        memory.batch_select_indices(rows)
        return memory

    def forward(self, x: Float[Tensor, "n t d"]) -> Float[Tensor, "n t v"]:
        """Scores of every next token."""
        return self.logits(self.hidden(x)[0])


def prompt_words(text: str) -> list[str]:
    """The words of a prompt, and its commas."""
    return [word for part in re.split("(,)", text) for word in ([","] if part == "," else caption_words(part))]


@builder("small-caption-decoder")
def small_decoder(
    words: tuple[str, ...], read: int = 0, width: int = 128, layers: int = 2, heads: int = 4, dropout: float = 0.1
) -> nn.Module:
    """A `SmallDecoder` with fresh weights."""
    if width % (2 * heads):
        raise ValueError(f"width must be a multiple of twice the heads, {2 * heads}; got {width}")
    return SmallDecoder(words, read, width, layers, heads, dropout)


def vocabulary(
    captions: Sequence[str], prompts: Sequence[str] = (), least: int = 2, most: int = 5000
) -> tuple[tuple[str, ...], int]:
    """The words that occur at least so often, at most so many, then those of prompts; how many these are."""
    frequent = [word for word, count in counted(captions).items() if count >= least][:most]
    words = tuple(dict.fromkeys([*frequent, *(word for text in prompts for word in prompt_words(text))]))
    return words, len(words) - len(frequent)


@builder("causal-caption-decoder")
def causal_decoder(config: dict[str, Any], tokenizer: str) -> nn.Module:
    """A `CausalDecoder` with fresh weights, of a configuration of transformers with its `model_type`."""
    from transformers import AutoConfig, AutoModelForCausalLM

    settings = dict(config)
    return CausalDecoder(
        AutoModelForCausalLM.from_config(AutoConfig.for_model(settings.pop("model_type"), **settings)), tokenizer
    )


def causal_decoder_of(model: Any, tokenizer: Any) -> nn.Module:
    """A `CausalDecoder` with the weights of a model; its own stay as they are.

    Parameters
    ----------
    model, tokenizer : of transformers
        The tokenizer is a fast one.
    """
    config = json.loads(model.config.to_json_string(use_diff=False))
    decoder: Any = causal_decoder(_plain(config), tokenizer.backend_tokenizer.to_str())
    decoder.model.load_state_dict(model.state_dict())
    return decoder.eval()


def _plain(config: dict[str, Any]) -> dict[str, Any]:
    """Of a configuration what builds the network: how it was loaded is left out."""
    left = ("_name_or_path", "transformers_version", "architectures", "dtype", "torch_dtype", "quantization_config")
    return {key: value for key, value in config.items() if key not in left}


def decoder_of(name: str) -> nn.Module | None:
    """A decoder by its name: ``small`` (None: of the captions), ``smollm2``, or ``gpt2:<folder or hub name>``.

    Raises
    ------
    ValueError
        If there is no such decoder.
    ImportError
        If a package is missing; the message is the command that installs it.
    """
    if name == "small":
        return None
    if name == "smollm2":
        writer = writers.smollm2()
        return causal_decoder_of(writer.model, writer.tokenizer)
    scheme, _, argument = name.partition(":")
    if scheme in ("gpt2", "causal") and argument:
        folder = Path(argument).expanduser()
        if not folder.is_dir() and (argument.startswith((".", "/", "~"))):
            raise ValueError(f"decoder: there is no folder {argument!r}")
        try:
            writer = writers.causal(argument)
        except OSError as error:
            raise ValueError(
                f"decoder: {argument!r} cannot be had: give a folder that holds a model of transformers ({error})"
            ) from error
        return causal_decoder_of(writer.model, writer.tokenizer)
    raise ValueError(f"decoder must be small, smollm2 or gpt2:<folder or hub name>; got {name!r}")
