"""GLC's claim: a source model meets drawings or digits of another kind, some classes gone and some new."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
from torch import nn

from unseen.data.domain import Domain
from unseen.nn.classifier import Classifier, feature_classifier, train_source
from unseen.runtime import reproducible


class Split(NamedTuple):
    """How many classes both sides have, only the source, and only the target."""

    shared: int
    source: int
    target: int


DIGITS = {"open-partial": Split(5, 2, 3), "open": Split(7, 0, 3), "partial": Split(5, 5, 0)}
EMOJI = {"open-partial": Split(12, 6, 11), "open": Split(15, 0, 14), "partial": Split(15, 14, 0)}


# -- data --------------------------------------------------------------------------------------------------


def parts(case: str, setting: str, seed: int) -> tuple[Domain, Domain]:
    """Labelled source and target of a case; the target's own classes come after those of the source.

    A case is `digits TURN ORDER` or `emoji SOURCE TARGET ORDER`: ORDER seeds which classes are shared; `as-is` is
    their own order.
    """
    kind, *words, order = case.split()
    source, target = (turned if kind == "digits" else drawn)(*words, seed=seed)
    split = (DIGITS if kind == "digits" else EMOJI)[setting]
    n = sum(split) if kind == "emoji" else 10
    classes = np.arange(n) if order == "as-is" else np.random.default_rng(int(order)).permutation(n)
    place = np.empty(n, dtype=np.int64)
    place[classes] = np.arange(n)
    source, target = (d.replace(y=place[d.labels], classes=None) for d in (source, target))
    known = split.shared + split.source
    private = (target.labels >= known) & (target.labels < known + split.target)
    return source.take(source.labels < known), target.take((target.labels < split.shared) | private)


def turned(degrees: str, *, seed: int) -> tuple[Domain, Domain]:
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
def drawn(source: str, target: str, *, seed: int = 0) -> tuple[Domain, Domain]:
    """Features of two vendors' emoji."""
    return features(source), features(target)


@functools.cache
def features(style: str) -> Domain:
    """EfficientNet-Lite0's features of a style; classes are the subgroups."""
    from unseen.data.sources import emoji
    from unseen.encoders import get

    return get("efficientnet-lite0").encode(emoji(style), precision="fp32")


# -- arms --------------------------------------------------------------------------------------------------


def source_model(source: Domain, seed: int) -> Classifier:
    """Step 1 of the method: a classifier of the source, by label-smoothed cross entropy."""
    n_classes = int(source.labels.max()) + 1
    with reproducible(seed):
        if source.kind == "features":
            return train_source(feature_classifier(source.n_features, n_classes), source)
        return train_source(small_network(n_classes), source, epochs=25)


def small_network(n_classes: int, width: int = 64) -> Classifier:
    """Three convolutions (32, 64, 128), a bottleneck of 64, a weight-normalised head, for 16 x 16 pixels."""
    layers: list[nn.Module] = []
    for inputs, channels in ((1, 32), (32, 64), (64, 128)):
        layers += [nn.Conv2d(inputs, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()]
        layers += [nn.MaxPool2d(2)]
    bottleneck = nn.Sequential(nn.Linear(128 * 2 * 2, width), nn.BatchNorm1d(width))
    head = nn.utils.parametrizations.weight_norm(nn.Linear(width, n_classes))
    return Classifier(nn.Sequential(*layers, nn.Flatten()), bottleneck, head)
