"""Small inputs for every word of `fit`, and all ways to call a method."""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain, Lazy
from unseen.data.label_metrics import TreeMetric
from unseen.data.ontology import Ontology, build
from unseen.data.words import WordVectors
from unseen.methods.base import VOCABULARY, Method, Signature, signatures
from unseen.nn.build import builder
from unseen.nn.classifier import feature_classifier, train_source
from unseen.nn.pointnet import pointnet
from unseen.runtime import reproducible

N_CLASSES, N_SEEN, WIDTH, SIDE, FRAMES = 6, 4, 16, 8, 4
LENGTH, CHANNELS = 120, 2
NAMES = ("anchor", "bell", "crown", "drum", "eagle", "fan")
WORDS = ("a", "drawing", "of", "the", "old", "big", "red", "left", *NAMES)
TREE = (6, 6, 7, 7, 6, 7, -1, 6)
"""Parents of the classes and of two inner nodes above them."""
N_ENTITIES = 40
"""Of the graph whose pairs are samples of kind node."""
ABOVE = ("tool", "instrument", "finery", "instrument", "animal", "tool")
PARTS = ("iron", "metal", "gold", "skin", "feather", "feather")
"""What is wider than each class, and what it is made of."""


@dataclasses.dataclass(frozen=True)
class Case:
    """One way to call one method: its class, the words given, and what the samples are."""

    method: type[Method]
    words: tuple[str, ...]
    kind: str

    def __str__(self) -> str:
        return f"{self.method.card.slug}({', '.join(self.words)}; {self.kind})"

    def make(self) -> Method:
        """An unfitted method that is quick to fit."""
        return self.method(**self.method.card.smoke)

    def inputs(self, **changes: Any) -> dict[str, Any]:
        """What `fit` gets, made anew; `changes` replace single words."""
        beside = all("teachers" in way.optional for way in signatures(self.method))
        words = [word for word in self.words if word != "teachers" or not beside]
        from_needs = {word for need in self.method.card.needs for word in need.makes}
        inputs = {word: value_of(word, self.kind_of(word)) for word in words if word not in from_needs}
        if "teachers" in self.words and beside:  # a network like the model
            inputs["teachers"] = {"precursor": value_of("model", self.kind)}
        for need in self.method.card.needs:
            inputs |= {key: value for key, value in need.example(inputs).items() if key in self.words}
        if self.method.card.task == "value":
            inputs |= {word: with_values(inputs[word]) for word in inputs if VOCABULARY[word].labeled}
        return inputs | changes

    def kind_of(self, word: str) -> str:
        """What the samples of a word are."""
        return min(self.method.card.reads.get(word, {self.kind}))


def cases(method: type[Method]) -> Iterator[Case]:
    """All ways to call a method: each signature with its required words, and with the optional ones."""
    for signature in signatures(method) if method.fit is not Method.fit else ():
        for words in dict.fromkeys([signature.required, signature.required + signature.optional]):
            yield from (Case(method, words, kind) for kind in _kinds(method, signature))


def _kinds(cls: type[Method], signature: Signature) -> list[str]:
    kinds = ("features", "probabilities", "image", "clip", "text", "series", "points", "node")
    known = [kind for kind in kinds if kind in cls.card.modalities]
    return known if "model" in signature.required else known[:1]


# -- inputs ------------------------------------------------------------------------------------------------


def samples_of(kind: str, n: int, seed: int) -> tuple[Any, np.ndarray]:
    """Samples around one centre per seen class, or phrases with its name, and their labels."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % N_SEEN
    if kind == "text":
        before = [" ".join(rng.choice(WORDS[:-N_CLASSES], rng.integers(0, 4))) for _ in y]
        return np.array([f"{words} {NAMES[label]}".strip() for words, label in zip(before, y)]), y
    if kind == "series":
        phase = np.arange(LENGTH)[None, :, None] / 12 + rng.random((n, 1, CHANNELS))
        return (np.sin(2 * np.pi * phase) + 0.1 * rng.normal(size=(n, LENGTH, CHANNELS))).astype(np.float32), y
    if kind == "node":  # pairs of entities, of which each relation has tails of its own
        heads, tails = rng.integers(0, N_ENTITIES, n), (7 * y + rng.integers(0, 7, n)) % N_ENTITIES
        heads[0] = N_ENTITIES - 1
        return np.column_stack([heads, tails]).astype(np.float32), y
    shape = {
        "features": (WIDTH,), "probabilities": (N_SEEN,), "image": (3, SIDE, SIDE), "clip": (FRAMES, 3, SIDE, SIDE),
        "points": (SIDE, 3),
    }[kind]  # fmt: skip
    centres = np.random.default_rng(1).normal(size=(N_SEEN, *shape))
    x = (1.5 * centres[y] + rng.normal(size=(n, *shape)) + 0.1 * seed).astype(np.float32)
    if kind == "probabilities":
        x = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
    return x, y


def domain_of(word: str, kind: str) -> Domain:
    """A labelled domain for a word of `fit`."""
    n, seed = {"source": (60, 2), "target": (57, 3), "support": (13, 4)}.get(word, (31, 5))
    x, y = samples_of(kind, n, seed)
    if kind in ("image", "clip"):
        x = Lazy(range(n), functools.partial(_picture, x))
    ids = np.array([f"{word}/{NAMES[label]}/{i}.png" for i, label in enumerate(y)])
    columns = {"domain": np.repeat("photo", n), "file": ids}
    if word == "target":
        sure = np.random.default_rng(seed).dirichlet(np.ones(N_SEEN), n)
        columns["opinions"] = (0.5 * np.eye(N_SEEN)[y] + 0.5 * sure).astype(np.float32)
    return Domain(
        x=x, y=y, kind=kind,  # type: ignore[arg-type]
        classes=class_space(kind).take(range(N_SEEN)), ids=ids, columns=columns, name=word,
    )  # fmt: skip


def with_values(domain: Domain) -> Domain:
    """The samples with a number each in place of a class, no two alike."""
    return domain.replace(y=domain.labels + np.linspace(0, 0.5, len(domain)), task="value", classes=None)


def _picture(x: np.ndarray, i: int) -> Tensor:
    return torch.as_tensor(x[i])


def class_space(kind: str = "features") -> ClassSpace:
    """Six classes, of which four are seen, with all that can be said of classes but attributes; beside texts they form
    a tree."""
    rng = np.random.default_rng(7)
    centres = np.random.default_rng(1).normal(size=(N_SEEN, WIDTH))
    embeddings = np.vstack([centres, rng.normal(size=(N_CLASSES - N_SEEN, WIDTH))])
    return ClassSpace(
        names=NAMES,
        descriptions=tuple(f"a drawing of a {name}" for name in NAMES),
        embeddings=embeddings,
        metric=TreeMetric(np.array(TREE), None, np.arange(N_CLASSES)) if kind == "text" else None,
        seen=range(N_SEEN),
        ontology=ontology(),
    )


def ontology() -> Ontology:
    """The six classes under wider concepts, with what they are made of."""
    rows = [(name, "subClassOf", wider) for name, wider in zip(NAMES, ABOVE)]
    rows += [(name, "madeOf", part) for name, part in zip(NAMES, PARTS)]
    rows += [("instrument", "subClassOf", "tool"), ("finery", "subClassOf", "thing"), ("tool", "subClassOf", "thing")]
    return build(rows, classes=NAMES)


def word_vectors() -> WordVectors:
    """Vectors of the words of the phrases, of the ontology, and of a few that do not occur."""
    words = (*WORDS, *dict.fromkeys((*ABOVE, *PARTS)))
    table = np.random.default_rng(8).normal(size=(len(words), WIDTH)).astype(np.float32)
    return WordVectors(words, table)


@builder("contract-convnet")
def convnet(width: int = 6, classes: int = N_SEEN) -> nn.Sequential:
    """A small convolutional network with BatchNorm."""
    return nn.Sequential(
        nn.Conv2d(3, width, 3, padding=1),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(width, classes),
    )


@functools.cache
def _model(kind: str) -> nn.Module:
    with reproducible(11):
        if kind == "image":
            network = convnet().train()
            x = torch.as_tensor(samples_of(kind, 60, 2)[0])
            with torch.no_grad():
                for _ in range(20):
                    network(x)
            return network.eval()
        if kind == "points":
            return train_source(pointnet(N_SEEN, (8, 8), 8), domain_of("source", kind), epochs=3, batch_size=16)
        width = N_SEEN if kind == "probabilities" else WIDTH
        return train_source(feature_classifier(width, N_SEEN, 8), domain_of("source", kind), epochs=3, batch_size=16)


@functools.cache
def _teachers(kind: str) -> dict[str, nn.Module]:
    """A network of the same classes, and one of two others, of another width."""
    source = domain_of("source", kind)
    pairs = source.replace(y=source.labels // 2, classes=None)
    with reproducible(12):
        other = train_source(feature_classifier(source.n_features, 2, 5), pairs, epochs=2, batch_size=16)
    return {"same classes": _model(kind), "pairs of classes": other}


def value_of(word: str, kind: str) -> Any:
    """A small input for a word of the vocabulary."""
    if word == "model":
        return copy.deepcopy(_model(kind))
    if word == "teachers":
        return copy.deepcopy(_teachers(kind))
    if word == "classes":
        return class_space(kind)
    if word == "encoder":
        return word_vectors()
    return domain_of(word, kind)
