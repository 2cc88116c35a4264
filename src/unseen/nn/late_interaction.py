"""Similarity of texts and clips token by token and frame by frame, and the contrastive loss of such similarities.

R[a, b, i, j] = <t_ai, v_bj> of unit vectors says how well word i of text a fits frame j of clip b. What tells the
similarities apart is whom they ask [1]:

    mean      the mean of all words and the mean of all frames, as they are, by one cosine
    max       the best frame of each word, and the best word of each frame (ColBERT's late interaction, both ways)
    simple    p_i = sum_j R softmax_j(tau R), q_j = sum_i R softmax_i(tau R): each word chooses its frames and each
              frame its words; then u = softmax(tau p), w = softmax(tau q): only what found something counts;
              (u p + w q) / 2
    full      the same choices; the chosen words and frames are summed to one vector each: <sum u t, sum w v>, which is
              u R w, so that no vector of a pair is ever held

A mask says which words there are; what is behind it takes no part, whatever numbers stand there, and a word that is
orthogonal to a frame is a word.

References
----------
[1] Liu, Huang, Li, Li, "Mug-STAN: Adapting Image-Language Pretrained Models for General Video Understanding",
    arXiv 2311.15075, 2023.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from unseen.nn import parallel
from unseen.nn.contrastive import contrastive

Mode = Literal["simple", "full", "mean", "max"]
MODES: tuple[Mode, ...] = get_args(Mode)
NUMBERS = 2**25
"""Numbers of R that are held at once when nothing is learnt."""


class Words(NamedTuple):
    """Texts as vectors of tokens, (a, l, d), of any length, and which of them there are, (a, l)."""

    vectors: Tensor
    mask: Tensor

    def take(self, rows: slice) -> Words:
        """Some of the texts."""
        return Words(self.vectors[rows], self.mask[rows])


def similarity(
    words: Words, frames: Float[Tensor, "b t d"], tau: float = 100.0, mode: Mode = "simple"
) -> Float[Tensor, "a b"]:
    """How well each text fits each clip, (texts, clips).

    Parameters
    ----------
    words : Words
        At least one token of each text.
    frames : Tensor (b, t, d)
        Of any length.
    tau : float, >= 0
        Factor of cosines before a softmax: at 0 all choose evenly and s is the mean of R; without bound each chooses
        the best one, and s is the largest of R.
    mode : {"simple", "full", "mean", "max"}

    Raises
    ------
    ValueError
        If the mode is none of these, `tau` is negative, shapes do not fit, or a text has no token.
    """
    check(words, frames, tau, mode)
    kept = words.vectors.masked_fill(~words.mask[..., None], 0)
    if mode == "mean":
        return F.normalize(kept.sum(dim=1), dim=1) @ F.normalize(frames.mean(dim=1), dim=1).T
    r = torch.einsum("ald,btd->ablt", F.normalize(kept, dim=2), F.normalize(frames, dim=2))
    present = words.mask[:, None, :, None]
    if mode == "max":
        return max_similarity(r, present)
    p, q = chosen(r, tau), chosen(r, tau, present, dim=2)
    u, w = _shares(tau * p, words.mask[:, None], dim=2), torch.softmax(tau * q, dim=2)
    if mode == "full":
        return _weighted(_weighted(r, w[:, :, None], dim=3), u)
    return (_weighted(p, u) + (q * w).sum(dim=2)) / 2


def chosen(r: Tensor, tau: float, present: Tensor | None = None, dim: int = 3) -> Tensor:
    """sum R softmax(tau R) along an axis: over the frames of each word, or the words that each frame has."""
    return _weighted(r, _shares(tau * r, present, dim), dim)


def max_similarity(r: Float[Tensor, "a b l t"], present: Bool[Tensor, "a 1 l 1"]) -> Float[Tensor, "a b"]:
    """The mean over words of their best frame, and over frames of their best word, averaged."""
    there = (r.amax(dim=3) * present[..., 0]).sum(dim=2) / present.sum(dim=(1, 2, 3))[:, None]
    back = r.masked_fill(~present, -torch.inf).amax(dim=2).mean(dim=2)
    return (there + back) / 2


def in_parts(
    words: Words, frames: Float[Tensor, "b t d"], tau: float = 100.0, mode: Mode = "simple", numbers: int = NUMBERS
) -> Float[Tensor, "a b"]:
    """`similarity` of many texts and clips, some texts at a time: R never holds much more than so many numbers.

    Parameters
    ----------
    numbers : int, >= 1
        A x B x L x T of one part; a single text may need more.
    """
    per_text = frames.shape[0] * frames.shape[1] * words.vectors.shape[1]
    rows = max(1, numbers // max(per_text, 1))
    parts = [words.take(slice(start, start + rows)) for start in range(0, len(words.mask), rows)]
    return torch.cat([similarity(part, frames, tau, mode) for part in parts])


def pair_loss(
    words: Words,
    frames: Float[Tensor, "b t d"],
    scale: float | Float[Tensor, ""],
    of: Callable[[Words, Tensor], Float[Tensor, "a b"]],
) -> Float[Tensor, ""]:
    """-mean log softmax over clips of the own one, and the same over texts: the sum of both [1].

    Text i belongs to clip i. Under several processes these are ours; they stand against those of all, and texts must be
    padded to one length in all processes.

    Parameters
    ----------
    scale : float, > 0
        Factor of similarities.
    of : callable (words, frames) -> (a, b)
        The similarity.
    """
    if parallel.world() == 1:
        logits = scale * of(words, frames)
        return contrastive(logits) + contrastive(logits.T)
    everyone = Words(parallel.gather(words.vectors), parallel.gather(words.mask.float()) > 0)
    all_frames = parallel.gather(frames)
    return contrastive(scale * of(words, all_frames)) + contrastive(scale * of(everyone, frames).T)


def check(words: Words, frames: Tensor, tau: float, mode: str) -> None:
    """`ValueError` unless texts and clips can be compared."""
    vectors, mask = words
    if mode not in MODES:
        raise ValueError(f"mode must be one of {', '.join(MODES)}; got {mode!r}")
    if not tau >= 0:
        raise ValueError(f"tau must be at least 0; got {tau}")
    if vectors.ndim != 3 or frames.ndim != 3 or vectors.shape[2] != frames.shape[2] or 0 in frames.shape:
        raise ValueError(
            "words must be of shape (texts, tokens, d) and frames (clips, frames, d); got "
            f"{tuple(vectors.shape)} and {tuple(frames.shape)}"
        )
    if mask.shape != vectors.shape[:2] or mask.dtype != torch.bool:
        raise ValueError(
            f"mask must be bool of shape {tuple(vectors.shape[:2])}; got {mask.dtype} of shape {tuple(mask.shape)}"
        )
    if not bool(mask.any(dim=1).all()):
        raise ValueError(f"mask must leave a token of each text; text {int((~mask.any(dim=1)).nonzero()[0])} has none")


def _shares(logits: Tensor, present: Tensor | None, dim: int) -> Tensor:
    """Softmax over what is there."""
    return torch.softmax(logits if present is None else logits.masked_fill(~present, -torch.inf), dim=dim)


def _weighted(values: Tensor, shares: Tensor, dim: int = 2) -> Tensor:
    return (values * shares).sum(dim=dim)
