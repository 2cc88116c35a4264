"""Clouds of points of whole objects, and of other objects of the same makers and shapes of which a part is hidden."""

from __future__ import annotations

import functools

import numpy as np

from unseen.claims.arms import parted
from unseen.data.domain import Domain
from unseen.data.few_shot import unbalanced
from unseen.data.meshes import centred
from unseen.data.simulate.points import hidden, turned
from unseen.data.sources.furniture import furniture
from unseen.nn.classifier import Classifier, train_source
from unseen.nn.pointnet import pointnet
from unseen.runtime import reproducible

MAKERS = {"scopia": ("scopia",), "others": ("blendswap-cc-0", "blendswap-cc-by", "kator-legaz", "reallusion")}
SMALLEST = 10
"""Shapes of which the makers have fewer models are left out."""
EACH = 80
"""Clouds of each shape, give or take, in either domain: views of its models, turned about the vertical."""
POINTS = 128
DENSE = 2048


def clouds(case: str, seed: int) -> tuple[Domain, Domain]:
    """Source and target of `MAKERS view`, `MAKERS half PERCENT` or `MAKERS ball PERCENT`, classes of equal size.

    Half of the models are seen whole; the others, none of which is in the source, have a part hidden.
    """
    makers, by, *percent = case.split()
    whole, other = (_views(half, seed + k) for k, half in enumerate(parted(_objects(makers), 0.5, seed)))
    share = float(percent[0]) / 100 if percent else 0.5
    source = whole.replace(x=centred(whole.x[:, :POINTS]).astype(np.float32))
    return source, hidden(other, by, share=share, n_points=POINTS, random_state=seed)  # type: ignore[arg-type]


def objects(case: str) -> list[Domain]:
    """The whole models of the makers of a case, for a stamp."""
    return [_objects(case.split()[0])]


@functools.cache
def _objects(makers: str) -> Domain:
    return furniture(MAKERS[makers], n_points=DENSE, smallest=SMALLEST)


def _views(objects: Domain, seed: int) -> Domain:
    """Turned copies of the models, as many of each class."""
    fewest = int(np.bincount(objects.labels).min())
    return unbalanced(turned(objects, -(-EACH // fewest), random_state=seed), 1.0, seed=seed)


def cloud_model(source: Domain, seed: int) -> Classifier:
    """A small PointNet that is trained on the clouds of the source."""
    with reproducible(seed):
        network = pointnet(int(source.labels.max()) + 1, widths=(32, 64, 128))
        return train_source(network, source, epochs=25, learning_rate=3e-2)
