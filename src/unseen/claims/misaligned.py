"""Clips whose captions fit a part of them: frames of emoji, of which two things are named among others.

Frames are features of a frozen encoder of pictures, words are token states of a frozen encoder of texts; what is learnt
are two lines into one space. They have read still pictures of half of the things with their names before: an image-text
model, which goes on with clips and captions.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from unseen import encoders
from unseen.claims import arms
from unseen.claims.drawings import by, first_by_hash, of_half
from unseen.claims.motion_worlds import GROUPS
from unseen.claims.worlds import lite0
from unseen.data.domain import Domain, Lazy
from unseen.data.samplers import Batch
from unseen.nn.contrastive import LogitScale
from unseen.nn.late_interaction import Words, pair_loss, similarity
from unseen.nn.train import Run
from unseen.runtime import reproducible

THINGS, FRAMES, NAMED, DIM = 160, 8, 2, 64
ANGLES = (0, 14, -14)
"""Of the views of a thing, in degrees."""
VIEWS = len(ANGLES)
FILLERS = ("in the beginning", "music is playing", "a person is talking", "and then", "on a screen", "somewhere else")
"""What captions say of no frame."""
PAIRS, HELD, ASKED = 700, 120, 200
"""Pairs to learn from, those of them that are held out to choose a setting, and pairs that are asked about."""
STILL_STEPS, STEPS, BATCH = 100, 120, 32

Similarity = Callable[[Words, Tensor], Tensor]


class World(NamedTuple):
    """Vectors of views of things, (things, views, d), and their names."""

    views: Tensor
    names: tuple[str, ...]


class Captioned(NamedTuple):
    """Clips as vectors of frames, (n, t, d), and captions as token states."""

    frames: Tensor
    words: Words


@functools.cache
def world(case: str) -> World:
    """The things of a case ``SPLIT VENDOR``, the smallest hashes first."""
    views, names = views_of(case)
    features = torch.as_tensor(lite0(views).x)
    features = (features - features.mean(dim=0)) / features.std()
    return World(features.view(len(names), VIEWS, -1), names)


def views_of(case: str) -> tuple[Domain, tuple[str, ...]]:
    """Pictures of all views of the things, thing after thing, and their names."""
    split, vendor = case.split()[:2]
    drawn = by(vendor)
    mask = of_half(drawn, split) & ~np.isin(drawn.columns["group"], GROUPS)
    rows = first_by_hash(drawn, mask, THINGS, "misaligned ").tolist()
    pictures = [(i, angle) for i in rows for angle in ANGLES]
    x = Lazy(pictures, lambda item: turned(drawn.x[item[0]], item[1]))
    return Domain(x=x, kind="image", name="views"), tuple(str(drawn.columns["name"][i]) for i in rows)


def turned(picture: Any, angle: float) -> Image.Image:
    """A picture on white, turned."""
    return picture.convert("RGB").rotate(angle, Image.Resampling.BILINEAR, fillcolor=(255, 255, 255))


@torch.no_grad()
def token_states(texts: list[str]) -> Words:
    """MiniLM's states of the tokens of texts, of any length."""
    minilm = encoders.get("minilm", precision="fp32")
    network: Any = minilm.module
    rows = []
    for start in range(0, len(texts), 64):
        ids, mask = minilm.preprocess(texts[start : start + 64]).unbind(dim=1)
        states = network.transformer(input_ids=ids, attention_mask=mask).last_hidden_state
        rows += [row[: int(n)] for row, n in zip(states, mask.sum(dim=1))]
    lengths = torch.tensor([len(row) for row in rows])
    padded = nn.utils.rnn.pad_sequence(rows, batch_first=True)
    return Words(padded, torch.arange(padded.shape[1]) < lengths[:, None])


def drawn_pairs(world: World, n: int, seed: int, *, matching: int) -> Captioned:
    """So many clips of which `matching` frames show the two things that are named; the others show any other things."""
    clips, captions = clips_and_captions(world.names, n, seed, matching=matching)
    return Captioned(torch.stack([world.views[things, views] for things, views in clips]), token_states(captions))


def clips_and_captions(
    names: Sequence[str], n: int, seed: int, *, matching: int
) -> tuple[list[tuple[NDArray[np.int64], NDArray[np.int64]]], list[str]]:
    """The things and views that the frames of each clip show, and captions.

    Where frames show others, captions do as well: they name one thing that is not there, and say something else.
    """
    rng = np.random.default_rng(seed)
    frames, captions = [], []
    for _ in range(n):
        things = rng.permutation(len(names))[: NAMED + 1 + FRAMES]
        shown = np.concatenate([np.resize(things[:NAMED], matching), things[NAMED + 1 :][: FRAMES - matching]])
        frames.append((rng.permutation(shown), rng.integers(VIEWS, size=FRAMES)))
        phrases = [names[i] for i in things[: NAMED + (matching < FRAMES)]]
        phrases += [] if matching == FRAMES else [FILLERS[int(rng.integers(len(FILLERS)))]]
        captions.append(", ".join(phrases[i] for i in rng.permutation(len(phrases))))
    return frames, captions


class Lines(nn.Module):
    """A line for frames and one for tokens, into one space, and a scale that is learnt."""

    def __init__(self, frames: int, words: int) -> None:
        super().__init__()
        self.frames, self.words, self.scale = nn.Linear(frames, DIM), nn.Linear(words, DIM), LogitScale(20.0)

    def forward(self, pairs: Captioned) -> Captioned:
        """Vectors in the space."""
        words = Words(self.words(pairs.words.vectors), pairs.words.mask)
        return Captioned(self.frames(pairs.frames), words)


def taken(pairs: Captioned, rows: Tensor) -> Captioned:
    """Some of the pairs."""
    words = pairs.words
    return Captioned(pairs.frames[rows], Words(words.vectors[rows], words.mask[rows]))


def still_lines(world: World, seed: int) -> Lines:
    """Two lines that have read still pictures of half of the things, by their names alone."""
    n = len(world.names) // 2
    words = token_states(list(world.names[:n]))
    with reproducible(seed):
        lines = Lines(world.views.shape[2], words.vectors.shape[2])
    rows = torch.arange(n).repeat_interleave(VIEWS)
    stills = Captioned(world.views[:n].flatten(0, 1)[:, None], Words(words.vectors[rows], words.mask[rows]))
    return taught(lines, stills, functools.partial(similarity, mode="mean"), seed, STILL_STEPS)


def taught(lines: Lines, pairs: Captioned, of: Similarity, seed: int, steps: int) -> Lines:
    """A copy of two lines that has learnt from pairs by a similarity."""
    with reproducible(seed):
        net = copy.deepcopy(lines).train()
        adam = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=0.05, betas=(0.9, 0.98))

        def objective(batch: Batch, run: Run) -> Tensor:
            embedded = net(taken(pairs, batch.index))
            return pair_loss(embedded.words, embedded.frames, net.scale(), of)

        places = Domain(x=np.zeros((len(pairs.frames), 1), np.float32))
        arms.in_steps(objective, net, adam, places, name="lines", size=BATCH, n_steps=steps, clip=5.0)
    return net.eval()


@torch.no_grad()
def scored(lines: Lines, asked: Captioned, of: Similarity) -> NDArray[np.float32]:
    """How well each caption fits each clip, (captions, clips)."""
    embedded = lines(asked)
    parts = [of(embedded.words.take(slice(i, i + 50)), embedded.frames) for i in range(0, len(embedded.frames), 50)]
    return torch.cat(parts).numpy()
