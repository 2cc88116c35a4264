"""Pairs of domains that claims about shifts share: digits turned or printed, and vendors' emoji by subgroup."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from unseen.claims import worlds
from unseen.claims.drawings import by, of_vendors
from unseen.data.domain import Domain
from unseen.evaluation.metrics.classification import accuracy
from unseen.nn.classifier import Classifier, feature_classifier, train_source
from unseen.runtime import reproducible


def read(case: str) -> list[Domain]:
    """What is read for a case of `domains`, for a stamp."""
    kind, *words = case.split()
    if kind == "emoji":
        return of_vendors(words, level="subgroup")
    return [worlds.digits("handwritten"), *([worlds.digits("printed", 16, 4)] if kind == "fonts" else [])]


def turned(degrees: str, seed: int) -> tuple[Domain, Domain]:
    """Half of scikit-learn's digits upright, the other half turned, blurred, paler and noisy; 16 x 16 pixels."""
    from scipy.ndimage import gaussian_filter, rotate, zoom
    from sklearn.datasets import load_digits

    data = load_digits()
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(data.target))
    images = zoom(data.images / 16, (1, 2, 2), order=1).clip(0, 1)
    halves = np.array_split(order, 2)
    changed = rotate(images[halves[1]], float(degrees), axes=(2, 1), reshape=False, order=1)
    changed = gaussian_filter(changed, (0, 0.6, 0.6)) * 0.7 + rng.normal(0, 0.08, changed.shape)
    return tuple(  # type: ignore[return-value]
        Domain(x=x[:, None].astype(np.float32), y=data.target[half].astype(np.int64), kind="image")
        for x, half in ((images[halves[0]], halves[0]), (changed, halves[1]))
    )


@functools.cache
def printed() -> tuple[Domain, Domain]:
    """Handwritten digits and printed ones, in the fonts of matplotlib; 16 x 16 pixels."""
    styles = worlds.digits("handwritten", 16), worlds.digits("printed", 16, 4)
    return tuple(d.replace(x=d.x.reshape(-1, 1, 16, 16), kind="image") for d in styles)  # type: ignore[return-value]


@functools.cache
def subgroups(style: str) -> Domain:
    """EfficientNet-Lite0's features of a vendor's emoji, (956, 1280); classes are 29 subgroups."""
    return worlds.lite0(by(style, "subgroup"))


def numbered_subgroups(style: str) -> Domain:
    """The same by their numbers, for what is drawn of `subgroups`."""
    return worlds.numbered(by(style, "subgroup"))


def domains(case: str, seed: int, seen: Callable[[str], Domain] = subgroups) -> tuple[Domain, Domain]:
    """Labelled source and target of `digits DEGREES`, `fonts` or `emoji SOURCE TARGET`, whose emoji are as `seen`."""
    kind, *words = case.split()
    if kind == "emoji":
        return seen(words[0]), seen(words[1])
    return printed() if kind == "fonts" else turned(words[0], seed)


def graded(network: nn.Module, domain: Domain) -> float:
    """Accuracy of a network that reads all samples at once."""
    with torch.no_grad():
        return accuracy(domain.labels, network(torch.as_tensor(domain.x)).argmax(dim=1).numpy())


def source_model(source: Domain, seed: int) -> Classifier:
    """Step 1 of the method: a classifier of the source, by label-smoothed cross entropy."""
    n_classes = int(source.labels.max()) + 1
    with reproducible(seed):
        if source.kind == "features":
            return train_source(feature_classifier(source.n_features, n_classes), source)
        return train_source(small_network(n_classes), source, epochs=25)


def small_network(n_classes: int) -> Classifier:
    """Three convolutions (32, 64, 128), a bottleneck of 64, a weight-normalised head, for 16 x 16 pixels."""
    layers: list[nn.Module] = []
    for inputs, channels in ((1, 32), (32, 64), (64, 128)):
        layers += [nn.Conv2d(inputs, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()]
        layers += [nn.MaxPool2d(2)]
    bottleneck = nn.Sequential(nn.Linear(128 * 2 * 2, 64), nn.BatchNorm1d(64))
    head = nn.utils.parametrizations.weight_norm(nn.Linear(64, n_classes))
    return Classifier(nn.Sequential(*layers, nn.Flatten()), bottleneck, head)
