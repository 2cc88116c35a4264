"""Beam search: the most probable texts that continue prompts of vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unseen.nn.protocols import CaptionDecoder


class Prompts(NamedTuple):
    """Vectors of prompts, (n, t, d), and which of them count; what pads a row stands at its end."""

    x: Float[Tensor, "n t d"]
    mask: Bool[Tensor, "n t"]


@torch.no_grad()
def beam_search(
    decoder: CaptionDecoder,
    prompts: Prompts,
    *,
    width: int = 5,
    longest: int = 30,
    length_penalty: float = 0.0,
    no_repeat: bool = False,
) -> list[list[int]]:
    """The best continuation of each prompt, without what ends it.

    Parameters
    ----------
    decoder : CaptionDecoder
    prompts : Prompts
    width : int
        Continuations that are kept at each step, at most as many as there are tokens; 1 takes the most probable next
        one (greedy).
    longest : int
        Tokens, at most.
    length_penalty : float
        Log-probabilities are divided by the length to this power; 0 compares them as they are.
    no_repeat : bool
        Whether a pair of tokens may stand in a text once only.
    """
    n = len(prompts.x)
    device = prompts.x.device
    before = prompts.mask.sum(dim=1)
    hidden, memory = decoder.hidden(prompts.x, prompts.mask, prompts.mask.cumsum(dim=1).sub(1).clamp(min=0))
    never = torch.tensor(sorted(decoder.never), dtype=torch.int64, device=device)
    first = decoder.logits(hidden[torch.arange(n, device=device), before - 1])
    width = min(width, first.shape[1] - int((never < first.shape[1]).sum())) if n else width
    scores, tokens = _likeliest(first, never, width)  # (n, w)
    rows = torch.arange(n, device=device).repeat_interleave(width)
    memory = decoder.select(memory, rows)
    mask = prompts.mask[rows]
    texts = tokens[..., None]  # (n, w, length)
    ends = torch.tensor(sorted(decoder.ends), device=device)
    over = torch.isin(tokens, ends)
    lengths = torch.ones(n, width, device=device)
    for step in range(1, longest):
        if bool(over.all()):
            break
        x = decoder.embed(texts[..., -1].reshape(-1, 1))
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
        places = (before.repeat_interleave(width) + step - 1)[:, None]
        hidden, memory = decoder.hidden(x, mask, places, memory)
        likely, words = _likeliest(decoder.logits(hidden[:, -1]), never, width, texts if no_repeat else None)
        next_, words = likely.view(n, width, -1), words.view(n, width, -1)
        next_ = next_.masked_fill(over[..., None], -torch.inf)
        next_[..., 0].masked_fill_(over, 0.0)  # what is over goes on with its end, for nothing
        words[..., 0].masked_fill_(over, int(ends[0]))
        total = scores[..., None] + next_
        longer = lengths + ~over
        ranked = total / longer[..., None] ** length_penalty if length_penalty else total
        best = ranked.view(n, -1).topk(width, dim=1).indices
        parent, token = best // width, words.view(n, -1).gather(1, best)
        scores = total.view(n, -1).gather(1, best)
        lengths = longer.gather(1, parent)
        texts = torch.cat([texts.gather(1, parent[..., None].expand(-1, -1, texts.shape[2])), token[..., None]], dim=2)
        over = over.gather(1, parent) | torch.isin(token, ends)
        memory = decoder.select(memory, (torch.arange(n, device=device)[:, None] * width + parent).reshape(-1))
        mask = mask[(torch.arange(n, device=device)[:, None] * width + parent).reshape(-1)]
    ranked = scores / lengths**length_penalty if length_penalty else scores
    best = ranked.argmax(dim=1)
    stops = decoder.ends
    return [_up_to(row, stops) for row in texts[torch.arange(n, device=device), best].tolist()]


def _likeliest(
    logits: Float[Tensor, "m v"], never: Tensor, k: int, said: Int[Tensor, "n w t"] | None = None
) -> tuple[Float[Tensor, "m k"], Int[Tensor, "m k"]]:
    """The k likeliest tokens of each row among those that may be said: log-probabilities, and which they are.

    More than `k` of one text are never among the k best of all. With `said`, what would repeat a pair is none.
    """
    logits = logits.index_fill(1, never[never < logits.shape[1]], -torch.inf)
    total = logits.logsumexp(dim=1, keepdim=True)
    if said is not None:
        _without_repeats(logits.view(*said.shape[:2], -1), said)
    values, tokens = logits.topk(k, dim=1)
    return values - total, tokens


def _up_to(ids: Sequence[int], ends: frozenset[int]) -> list[int]:
    for i, token in enumerate(ids):
        if token in ends:
            return list(ids[:i])
    return list(ids)


def _without_repeats(scores: Tensor, said: Tensor) -> None:
    """Forbid what would make a pair of tokens that a text holds already."""
    for i, beams in enumerate(said.tolist()):
        for j, ids in enumerate(beams):
            known: list[Any] = [b for a, b in zip(ids, ids[1:]) if a == ids[-1]]
            if known:
                scores[i, j, known] = -torch.inf
