"""Small image-text models for the claim on concept frequency: how often each concept is shown is under control."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from unseen.data.domain import Domain
from unseen.data.samplers import Batch, batches, steps
from unseen.data.typing import FloatArray, IntArray
from unseen.methods.curation.concept_frequency import class_accuracy
from unseen.methods.curation.concept_frequency.lemmas import singular, words
from unseen.nn.train import Run, train
from unseen.runtime import reproducible

NOISES = tuple(k / 20 for k in range(1, 13))
"""Standard deviations of the noise on pixels, without which ten pictures are nearly as good as a hundred."""
REACHED = 68.0
"""Accuracy with the highest rung of every concept that decides the noise: that of handwritten digits at 0.45."""
TEMPLATES = ("a scan of the {}", "a small picture of some {}", "the {} on paper", "a {} in full view")
PROMPTS = {"ensemble": TEMPLATES, "simple template": TEMPLATES[:1], "name alone": ("{}",)}
EPOCHS, BATCH, WIDTH, DIM = 40, 64, 64, 32
TEST = 700
"""Pictures to test on."""

_DIGITS = tuple(
    f"digit {word}" for word in ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
)


@dataclasses.dataclass(frozen=True, eq=False)
class World:
    """Things with a concept each, and pictures of them where there are some.

    Attributes
    ----------
    x : array (n, d)
    y : array (n,)
        Positions in `concepts`.
    concepts : tuple of str
    pictures : Domain or None
        The same samples as pictures, for hashes.
    """

    x: FloatArray
    y: IntArray
    concepts: tuple[str, ...]
    pictures: Domain | None = None


@functools.cache
def world(case: str) -> World:
    """Digits, ``handwritten`` or ``printed``, or printed letters by their characters, on noisy pixels.

    The noise is the one at which a model that saw 77 pictures of every concept comes nearest to `REACHED`: cases are
    alike in difficulty, whatever they show. Nothing of a ladder enters it.
    """
    low, high = 0, len(NOISES) - 1
    found = {}
    while low <= high:  # accuracy falls with noise
        middle = (low + high) // 2
        reached = _reached(noisy(case, NOISES[middle]))
        found[middle] = reached - REACHED
        low, high = (middle + 1, high) if reached > REACHED else (low, middle - 1)
    return noisy(case, NOISES[min(found, key=lambda k: abs(found[k]))])


def _reached(of: World, most: int = 77) -> float:
    """Mean accuracy in percent of a model that saw `most` pictures of every concept."""
    test, pool = split(of, 99, TEST)
    chosen, captions = corpus(of, pool, np.full(len(of.concepts), most), 99)
    return float(np.nanmean(pretrain(of, chosen, captions, 99).accuracy(of, test)))


def noisy(case: str, deviation: float) -> World:
    """The pictures of a case with fixed normal noise on their pixels."""
    from unseen.data.sources.digits import characters, digits

    if case in ("handwritten", "printed"):
        flat, names = digits(case, size=8, flat=True), _DIGITS
        pictures: Domain | None = digits(case, size=32)
    else:
        flat, names, pictures = characters(case, size=8), tuple(f"letter {_spoken(one)}" for one in case), None
    noise = np.random.default_rng(0).normal(0, deviation, flat.x.shape)
    return World((flat.x + noise).astype(np.float32), flat.labels, names, pictures)


def _spoken(letter: str) -> str:
    """A word for a character, which a search for words can tell from an article."""
    return f"{'capital' if letter.isupper() else 'small'}{letter.lower()}"


def split(of: World, seed: int, test: int) -> tuple[IntArray, IntArray]:
    """Samples to test on, and the rest."""
    order = np.random.default_rng(seed).permutation(len(of.y))
    return order[:test], order[test:]


def ladder(rungs: Sequence[int], seed: int) -> IntArray:
    """Which concept gets how many pairs: the rungs in a random order."""
    return np.random.default_rng(seed).permutation(np.asarray(rungs))


def corpus(of: World, pool: IntArray, sizes: IntArray, seed: int) -> tuple[IntArray, list[str]]:
    """Samples of each concept from the pool, as many as its rung, and a caption for each.

    Raises
    ------
    ValueError
        If the pool is too small for the rungs.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for concept, size in enumerate(sizes.tolist()):
        own = rng.permutation(pool[of.y[pool] == concept])
        if len(own) < size:
            raise ValueError(f"the pool has {len(own)} samples of {of.concepts[concept]!r}; the ladder asks for {size}")
        rows.append(own[:size])
    chosen = rng.permutation(np.concatenate(rows))
    which = rng.integers(len(TEMPLATES), size=len(chosen))
    return chosen, [TEMPLATES[k].format(of.concepts[of.y[i]]) for k, i in zip(which, chosen)]


# -- two towers --------------------------------------------------------------------------------------------


class Towers(nn.Module):
    """A perceptron for pictures and a mean of word vectors for captions, into one space."""

    def __init__(self, width: int, words_: int, hidden: int) -> None:
        super().__init__()
        self.image = nn.Sequential(
            nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, DIM)
        )
        self.text = nn.EmbeddingBag(words_, DIM, mode="mean", padding_idx=0)
        self.scale = nn.Parameter(torch.tensor(1 / 0.07).log())

    def pictures(self, x: Tensor) -> Tensor:
        """Unit vectors, (b, 32)."""
        return F.normalize(self.image(x), dim=1)

    def texts(self, tokens: Tensor) -> Tensor:
        """Unit vectors of padded word numbers, (b, 32)."""
        return F.normalize(self.text(tokens), dim=1)


@dataclasses.dataclass(frozen=True, eq=False)
class Model:
    """Trained towers and the words that they know."""

    towers: Towers
    lexicon: dict[str, int]

    def accuracy(self, of: World, rows: IntArray, prompts: str = "ensemble") -> FloatArray:
        """Zero-shot accuracy of every concept in percent, (C,)."""
        return class_accuracy(of.y[rows], self.predict(of, rows, prompts), len(of.concepts))

    def predict(self, of: World, rows: IntArray, prompts: str = "ensemble") -> IntArray:
        """The concept of every picture by the texts of all concepts."""
        with torch.no_grad():
            texts = [[template.format(name) for template in PROMPTS[prompts]] for name in of.concepts]
            own = torch.stack([self.towers.texts(tokens(one, self.lexicon)).mean(dim=0) for one in texts])
            return (self.towers.pictures(torch.as_tensor(of.x[rows])) @ F.normalize(own, dim=1).T).argmax(dim=1).numpy()


def tokens(texts: Sequence[str], lexicon: dict[str, int]) -> Tensor:
    """Numbers of the lemmas of texts, padded with 0; unknown words are left out."""
    rows = [[lexicon[w] for w in map(singular, words(text)) if w in lexicon] for text in texts]
    out = np.zeros((len(rows), max(map(len, rows), default=1) or 1), np.int64)
    for i, row in enumerate(rows):
        out[i, : len(row)] = row
    return torch.as_tensor(out)


def pretrain(
    of: World, chosen: IntArray, captions: Sequence[str], seed: int, hidden: int = WIDTH, noise: float = 0.1
) -> Model:
    """Train two towers on pairs; captions of one concept are positives of each other's pictures (UniCL [1]).

    References
    ----------
    [1] Yang et al., "Unified Contrastive Learning in Image-Text-Label Space", CVPR 2022, eq. 1-3.
    """
    every = sorted({w for text in captions for w in map(singular, words(text))})
    lexicon = {word: i + 1 for i, word in enumerate(every)}
    said = tokens(captions, lexicon)
    labels = torch.as_tensor(of.y[chosen])
    with reproducible(seed):
        towers = Towers(of.x.shape[1], len(lexicon) + 1, hidden)
        adam = torch.optim.AdamW(towers.parameters(), lr=3e-3)

        def objective(batch: Batch, run: Run) -> Tensor:
            x = batch.x + noise * torch.randn(batch.x.shape, generator=run.generator)
            cosines = towers.pictures(x) @ towers.texts(said[batch.index]).T
            logits = towers.scale.exp().clamp(max=100) * cosines
            same = (labels[batch.index][:, None] == labels[batch.index][None]).float()
            target = same / same.sum(dim=1, keepdim=True)
            return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2

        train(
            objective,
            name="towers",
            nets={"towers": towers},
            optimizers={"adam": adam},
            batches=batches(Domain(x=of.x[chosen], kind="features"), BATCH, drop_last=False),
            epochs=EPOCHS,
            steps_per_epoch=steps(len(chosen), BATCH, drop_last=False),
        )
    return Model(towers.eval(), lexicon)


# -- emoji -------------------------------------------------------------------------------------------------

RUNGS_OF_EMOJI = tuple(2**k for k in range(6))
HELD_OUT = 3
"""Emoji of every concept, in all styles, to test on."""


@functools.cache
def emoji_world(styles: str) -> tuple[World, NDArray[Any]]:
    """Emoji of several vendors (``A+B+C``) as features; concepts are Unicode's subgroups that have enough of them.

    Returns
    -------
    The world, and the emoji (code points) of every sample: one emoji is on one side of a split, in all styles.
    """
    from unseen.data.sources import emoji
    from unseen.encoders import get

    encoder = get("efficientnet-lite0")
    x, groups, codes = [], [], []
    for style in styles.split("+"):
        drawn = emoji(style, level="emoji", size=96)
        x.append(encoder.encode(drawn).x)
        groups.append(drawn.columns["subgroup"])
        codes.append(drawn.columns["emoji"])
    group, code = np.concatenate(groups), np.concatenate(codes)
    names, sizes = np.unique(group, return_counts=True)
    least = RUNGS_OF_EMOJI[-1] + HELD_OUT * len(x)
    enough = [name for name, size in zip(names.tolist(), sizes.tolist()) if size >= least]
    spoken = {name: frozenset(map(singular, words(name))) for name in enough}
    clear = [a for a in enough if not any(spoken[a] <= spoken[b] for b in enough if b != a)]
    here = np.isin(group, clear)
    features = np.concatenate(x)[here]
    features = (features - features.mean(axis=0)) / (features.std(axis=0) + 1e-6)
    y = np.searchsorted(np.array(clear), group[here])
    readable = tuple(name.replace("-", " ") for name in clear)
    return World(features.astype(np.float32), y.astype(np.int64), readable), code[here]


def split_emoji(of: World, codes: NDArray[Any], seed: int) -> tuple[IntArray, IntArray]:
    """Samples of some emoji of every concept to test on, and those of the others."""
    rng = np.random.default_rng(seed)
    test = np.zeros(len(of.y), bool)
    for concept in range(len(of.concepts)):
        own = np.unique(codes[of.y == concept])
        test |= (of.y == concept) & np.isin(codes, rng.permutation(own)[:HELD_OUT])
    return np.flatnonzero(test), np.flatnonzero(~test)
