"""The k rows of a bank with the largest inner products, in little memory."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

ROWS, COLUMNS, CHUNK = 512, 2048, 32
"""Queries and rows whose products `top_k` holds at once, and rows of which it keeps the largest product."""


def top_k(
    queries: Float[Tensor, "b d"], bank: Float[Tensor, "n d"], k: int
) -> tuple[Int[Tensor, "b k"], Float[Tensor, "b k"]]:
    """Indices and inner products of the k rows of `bank` (at most n) nearest to each query, the nearest first.

    Of equal products the lower index comes first.

    Products are made in tiles that fit a processor's cache, of which the maximum of every chunk of rows is kept; the k
    chunks with the largest maxima hold the k largest products. Memory does not grow with queries times rows.
    """
    whole, k = len(bank) // CHUNK, min(k, len(bank))
    if whole <= 2 * k or not len(queries):
        firsts = [_first(part @ bank.T, k) for part in torch.split(queries, ROWS)]
        return torch.cat([index for index, _ in firsts]), torch.cat([score for _, score in firsts])
    pieces = [
        _search(part, bank, block, k)
        for rows in torch.split(queries, ROWS)
        for part, block in zip(torch.split(rows, CHUNK), torch.split(_best_chunks(rows, bank, k), CHUNK))
    ]
    index, score = (torch.cat(parts) for parts in zip(*pieces))
    return index, score


def _best_chunks(queries: Float[Tensor, "b d"], bank: Float[Tensor, "n d"], k: int) -> Int[Tensor, "b k"]:
    """The k chunks of each query with the largest products, ascending; of equals the lower ones."""
    tiles = torch.split(bank[: len(bank) // CHUNK * CHUNK], COLUMNS)
    tile = queries.new_empty(len(queries), COLUMNS)
    parts = [
        torch.mm(queries, part.T, out=tile[:, : len(part)]).view(len(queries), -1, CHUNK).amax(dim=2) for part in tiles
    ]
    maxima = torch.cat(parts, dim=1)
    top = maxima.topk(k, dim=1)
    tied = (maxima >= top.values[:, -1:]).sum(dim=1) > k
    chunks = top.indices
    chunks[tied] = _first(maxima[tied], k)[0]
    return chunks.sort(dim=1).values


def _first(scores: Float[Tensor, "b n"], k: int) -> tuple[Int[Tensor, "b k"], Float[Tensor, "b k"]]:
    """Columns and values of the k largest of each row; of equals the lower columns."""
    values, columns = scores.sort(dim=1, descending=True, stable=True)
    return columns[:, :k], values[:, :k]


def _search(
    queries: Float[Tensor, "b d"], bank: Float[Tensor, "n d"], chunks: Int[Tensor, "b k"], k: int
) -> tuple[Int[Tensor, "b k"], Float[Tensor, "b k"]]:
    """The k largest products of each query within its chunks, and with the rows behind the last whole one."""
    whole, b = len(bank) // CHUNK, len(queries)
    members = bank[: whole * CHUNK].view(whole, CHUNK, -1)[chunks].flatten(1, 2)
    rest = torch.arange(whole * CHUNK, len(bank))
    index = torch.cat([(chunks[:, :, None] * CHUNK + torch.arange(CHUNK)).flatten(1), rest.expand(b, -1)], dim=1)
    scores = torch.cat([torch.bmm(members, queries[:, :, None])[:, :, 0], queries @ bank[rest].T], dim=1)
    columns, values = _first(scores, k)
    return index.gather(1, columns), values
