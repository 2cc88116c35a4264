"""Mapping functions f: sequences of word vectors (b, l, d_word) with a mask to vectors of nodes (b, d_node)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from unseen.nn.build import builder

WIDTHS = (1, 2, 3)
"""Words that the convolutions see at once."""


class MeanLinear(nn.Module):
    """Step 3a: the mean of the word vectors, mapped linearly."""

    def __init__(self, d_word: int, d_node: int) -> None:
        super().__init__()
        self.linear = nn.Linear(d_word, d_node)

    def forward(self, words: Float[Tensor, "b l w"], mask: Bool[Tensor, "b l"]) -> Float[Tensor, "b d"]:
        """Vectors in the space of the nodes, not of unit length."""
        there = mask[:, :, None].to(words.dtype)
        return self.linear((words * there).sum(dim=1) / there.sum(dim=1).clamp(min=1))


class CNN(nn.Module):
    """Step 3b: convolutions of several widths side by side, their maxima over time, fully connected layers."""

    def __init__(self, d_word: int, d_node: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(nn.Conv1d(d_word, hidden, width, padding=width - 1) for width in WIDTHS)
        self.head = head(hidden * len(WIDTHS), d_node, 2 * hidden, dropout)

    def forward(self, words: Float[Tensor, "b l w"], mask: Bool[Tensor, "b l"]) -> Float[Tensor, "b d"]:
        """Vectors in the space of the nodes, not of unit length; a window of padding alone is never the maximum."""
        x = (words * mask[:, :, None]).transpose(1, 2)
        length = mask.sum(dim=1, keepdim=True)
        pooled = []
        for width, convolution in zip(WIDTHS, self.convolutions):
            out = F.relu(convolution(x))
            covered = torch.arange(out.shape[2], device=out.device) < length + width - 1
            pooled.append(out.masked_fill(~covered[:, None], 0).amax(dim=2))
        return self.head(torch.cat(pooled, dim=1))


class BiLSTM(nn.Module):
    """Step 3c: a bidirectional LSTM, the maximum of its states over time, fully connected layers."""

    def __init__(self, d_word: int, d_node: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.lstm = nn.LSTM(d_word, hidden, batch_first=True, bidirectional=True)
        self.head = head(2 * hidden, d_node, 2 * hidden, dropout)

    def forward(self, words: Float[Tensor, "b l w"], mask: Bool[Tensor, "b l"]) -> Float[Tensor, "b d"]:
        """Vectors in the space of the nodes, not of unit length; the LSTM never reads padding."""
        if bool(mask.all()):
            states = self.lstm(words)[0]
        else:
            length = mask.sum(dim=1).clamp(min=1).cpu()
            packed = self.lstm(pack_padded_sequence(words, length, batch_first=True, enforce_sorted=False))[0]
            states = pad_packed_sequence(packed, batch_first=True, total_length=words.shape[1])[0]
        there = mask[:, :, None] | (torch.arange(words.shape[1], device=words.device) == 0)[:, None]
        return self.head(states.masked_fill(~there, -torch.inf).amax(dim=1))


def head(n_in: int, n_out: int, hidden: int, dropout: float) -> nn.Sequential:
    """Two fully connected layers behind dropout."""
    return nn.Sequential(
        nn.Dropout(dropout), nn.Linear(n_in, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, n_out)
    )


@builder("text2node-mapper")
def mapping_function(kind: str, d_word: int, d_node: int, hidden: int = 128, dropout: float = 0.2) -> nn.Module:
    """The mapping function called "mean", "cnn" or "bilstm"."""
    if kind == "mean":
        return MeanLinear(d_word, d_node)
    return {"cnn": CNN, "bilstm": BiLSTM}[kind](d_word, d_node, hidden, dropout)
