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

    Products are made in tiles that fit a processor's cache, of which the maximum of every chunk of rows is kept; the k
    chunks with the largest maxima hold the k largest products. Memory does not grow with queries times rows.
    """
    whole, k = len(bank) // CHUNK, min(k, len(bank))
    if whole <= 2 * k:
        found = [(part @ bank.T).topk(k, dim=1) for part in torch.split(queries, ROWS)]
        return torch.cat([f.indices for f in found]), torch.cat([f.values for f in found])
    pieces = [
        _search(part, bank, block, k)
        for rows in torch.split(queries, ROWS)
        for part, block in zip(torch.split(rows, CHUNK), torch.split(_best_chunks(rows, bank, k), CHUNK))
    ]
    index, score = (torch.cat(parts) for parts in zip(*pieces))
    return index, score


def _best_chunks(queries: Float[Tensor, "b d"], bank: Float[Tensor, "n d"], k: int) -> Int[Tensor, "b k"]:
    """The k chunks of each query with the largest products."""
    tiles = torch.split(bank[: len(bank) // CHUNK * CHUNK], COLUMNS)
    tile = queries.new_empty(len(queries), COLUMNS)
    maxima = [
        torch.mm(queries, part.T, out=tile[:, : len(part)]).view(len(queries), -1, CHUNK).amax(dim=2) for part in tiles
    ]
    return torch.cat(maxima, dim=1).topk(k, dim=1).indices


def _search(
    queries: Float[Tensor, "b d"], bank: Float[Tensor, "n d"], chunks: Int[Tensor, "b k"], k: int
) -> tuple[Int[Tensor, "b k"], Float[Tensor, "b k"]]:
    """The k largest products of each query within its chunks, and with the rows behind the last whole one."""
    whole, b = len(bank) // CHUNK, len(queries)
    members = bank[: whole * CHUNK].view(whole, CHUNK, -1)[chunks].flatten(1, 2)
    rest = torch.arange(whole * CHUNK, len(bank))
    index = torch.cat([(chunks[:, :, None] * CHUNK + torch.arange(CHUNK)).flatten(1), rest.expand(b, -1)], dim=1)
    scores = torch.cat([torch.bmm(members, queries[:, :, None])[:, :, 0], queries @ bank[rest].T], dim=1)
    found = scores.topk(k, dim=1)
    return index.gather(1, found.indices), found.values
