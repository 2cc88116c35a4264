"""A CRF on what a token and its neighbours look like, learnt by python-crfsuite and kept as plain weights."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from unseen.nn.crf import NEVER, ChainCRF
from unseen.nn.taggers import SHAPES, shape_of

INSTALL = 'pip install "unseen[tagging]"'
Sentences = Sequence[Sequence[str]]
QUARTERS = 4
"""Parts of a sentence that tokens are told to stand in."""
STEM = 5
"""Letters of the beginning of a word."""


@dataclasses.dataclass(frozen=True)
class LinearCRF:
    """Weights of attributes and of steps between tags.

    Attributes
    ----------
    tags : tuple of str
    attributes : array of strings (a,)
    weights : float32 array (a, tags)
    steps : float32 array (tags, tags)
    sentence : bool
        Whether tokens are also told what else stands in their sentence.
    """

    tags: tuple[str, ...]
    attributes: NDArray[Any]
    weights: NDArray[np.float32]
    steps: NDArray[np.float32]
    sentence: bool

    def __post_init__(self) -> None:
        object.__setattr__(self, "_index", {name: i for i, name in enumerate(self.attributes.tolist())})

    def emissions(self, words: Sequence[str]) -> Float[Tensor, "t k"]:
        """Scores of the tags of each token."""
        per_token, whole = _told(words, sentence=self.sentence)
        shared = self._sum(whole)
        rows = [shared + self._sum(names) for names in per_token]
        return torch.as_tensor(np.array(rows, dtype=np.float32).reshape(len(words), len(self.tags)))

    def _sum(self, names: Sequence[str]) -> NDArray[np.float32]:
        index: dict[str, int] = self._index  # type: ignore[attr-defined]
        return self.weights[[index[name] for name in names if name in index]].sum(axis=0)

    def chain(self) -> ChainCRF:
        """The CRF of the steps."""
        crf = ChainCRF(len(self.tags)).requires_grad_(False)
        crf.transitions.copy_(torch.as_tensor(self.steps))
        return crf


def attributes_of(words: Sequence[str], *, sentence: bool = True) -> list[list[str]]:
    """What is told of each token: itself, its ends, how it is written, and two neighbours on either side.

    With `sentence` also what else its sentence has, as what a sentence says as a whole decides whether it is a claim:
    the beginnings of all its words (which words of two languages share more often than whole words), how it begins,
    how long it is, and where in it the token stands.
    """
    per_token, whole = _told(words, sentence=sentence)
    return [names + whole for names in per_token]


def _told(words: Sequence[str], *, sentence: bool) -> tuple[list[list[str]], list[str]]:
    """What is told of each token, and what of all tokens of their sentence."""
    low = [word.lower() for word in words]
    n = len(words)
    shapes = [SHAPES[shape_of(word)] for word in words]
    whole = _of_sentence(low, shapes) if sentence else []
    out = []
    for i, word in enumerate(low):
        names = ["bias", f"w={word}", f"p3={word[:3]}", f"e3={word[-3:]}", f"e2={word[-2:]}", f"f={shapes[i]}"]
        for step in (-2, -1, 1, 2):
            j = i + step
            there = 0 <= j < n
            names.append(f"w{step:+d}={low[j] if there else '<>'[j >= n]}")
            names.append(f"f{step:+d}={shapes[j] if there else ''}")
        names.append(f"b-1={low[i - 1] if i else '<'}|{word}")
        names.append(f"b+1={word}|{low[i + 1] if i + 1 < n else '>'}")
        if sentence:
            names += [f"p5={word[:STEM]}", f"q={i * QUARTERS // n}", f"edge={'first' if i == 0 else i + 1 == n}"]
        out.append(names)
    return out, whole


def _of_sentence(low: Sequence[str], shapes: Sequence[str]) -> list[str]:
    """What is told of a sentence as a whole."""
    numbers = sum(shape == "digits" for shape in shapes)
    return [
        *(f"s={stem}" for stem in sorted({word[:STEM] for word in low})),
        f"first={'|'.join(word[:STEM] for word in low[:2])}",
        f"length={min(len(low) // 8, 6)}",
        f"numbers={min(numbers, 4)}",
    ]


def learn(
    sentences: Sentences,
    tags: Sequence[Sequence[str]],
    names: Sequence[str],
    *,
    l1: float,
    l2: float,
    iterations: int,
    least: int,
    sentence: bool,
) -> LinearCRF:
    """Learn by L-BFGS, or OWL-QN where `l1` is above 0.

    Parameters
    ----------
    sentences, tags : sentences in words, and the BIO tag of each
    names : sequence of str
        All tags.
    l1, l2 : float, >= 0
        Weights of the two penalties.
    iterations : int
        Steps, at most.
    least : int
        How often an attribute stands, at least.
    sentence : bool
        See `attributes_of`.

    Raises
    ------
    ImportError
        If python-crfsuite is not installed; the message is the command that does it.
    """
    crfsuite = require()
    trainer = crfsuite.Trainer(algorithm="lbfgs", verbose=False)
    trainer.set_params(
        {
            "c1": l1,
            "c2": l2,
            "max_iterations": iterations,
            "feature.minfreq": least,
            "feature.possible_transitions": True,
        }
    )
    for words, labels in zip(sentences, tags, strict=True):
        if len(words):
            trainer.append(crfsuite.ItemSequence(attributes_of(words, sentence=sentence)), labels)
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "model")
        trainer.train(file)
        tagger = crfsuite.Tagger()
        tagger.open(file)
        try:
            info = tagger.info()
        finally:
            tagger.close()
    return _weights(info, tuple(names), sentence)


def require() -> Any:
    """python-crfsuite, or an `ImportError` with the command that installs it."""
    try:
        import pycrfsuite
    except ImportError as error:
        raise ImportError(f"the engine crfsuite needs: {INSTALL}") from error
    return pycrfsuite


def _weights(info: Any, tags: tuple[str, ...], sentence: bool) -> LinearCRF:
    at = {tag: i for i, tag in enumerate(tags)}
    attributes = sorted({attribute for attribute, _ in info.state_features})
    index = {name: i for i, name in enumerate(attributes)}
    weights = np.zeros((len(attributes), len(tags)), dtype=np.float32)
    for (attribute, tag), weight in info.state_features.items():
        weights[index[attribute], at[tag]] = weight
    steps = np.full((len(tags), len(tags)), 0.0, dtype=np.float32)
    for (before, tag), weight in info.transitions.items():
        steps[at[before], at[tag]] = weight
    for tag in set(tags) - set(info.labels):  # never learnt: never said
        steps[:, at[tag]] = steps[at[tag]] = NEVER
    return LinearCRF(tags, np.array(attributes, dtype=np.str_), weights, steps, sentence)
