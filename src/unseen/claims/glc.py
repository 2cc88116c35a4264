"""GLC's claim: a source model meets drawings or digits of another kind, some classes gone and some new."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from unseen.data.domain import Domain
from unseen.evaluation.metrics.classification import accuracy
from unseen.evaluation.metrics.open_set import open_set_scores
from unseen.evaluation.protocols.run import entropy_threshold
from unseen.methods.adaptation.glc import GLC, pseudo_labels
from unseen.methods.base import UNKNOWN, signatures
from unseen.methods.baselines.shot import SHOT
from unseen.nn.classifier import Classifier, feature_classifier, outputs, train_source
from unseen.nn.information import normalized_entropy
from unseen.nn.neighbours import MemoryBank
from unseen.runtime import reproducible

Table = dict[str, dict[str, float]]


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


def rejecting(p: Tensor, threshold: float) -> NDArray[np.int64]:
    """The most probable class, or `UNKNOWN` where the normalized entropy is above the threshold."""
    return np.where(normalized_entropy(p).numpy() > threshold, UNKNOWN, p.argmax(dim=1).numpy())


class Cell(NamedTuple):
    """What all arms of a cell start from."""

    model: Classifier
    target: Domain
    truth: NDArray[np.int64]  # class, or UNKNOWN
    held_out: float  # accuracy of the model on held-out source samples
    threshold: float  # what 95 % of them stay below
    z: Tensor
    p: Tensor


def prepare(setting: str, case: str, seed: int) -> Cell:
    """Train the source model on four fifths of the source and show it the target."""
    source, target = parts(case, setting, seed)
    order = np.random.default_rng(seed).permutation(len(source))
    held_out, kept = (source.take(np.sort(half)) for half in np.split(order, [len(source) // 5]))
    model = source_model(kept, seed)
    mine = torch.softmax(outputs(model, held_out)[1], dim=1)
    z, logits = outputs(model, target)
    known = logits.shape[1]
    return Cell(
        model,
        target,
        np.where(target.labels < known, target.labels, UNKNOWN),
        accuracy(held_out.labels, mine.argmax(dim=1).numpy()),
        entropy_threshold(mine, least=0.0),
        z,
        torch.softmax(logits, dim=1),
    )


def adapted(cell: Cell, seed: int, **hyperparameters: float | bool | None) -> GLC:
    """GLC with its defaults; the views are the same, since a mirrored digit is no digit."""
    method = GLC(random_state=seed, views="same", **hyperparameters)  # type: ignore[arg-type]
    return method.fit(model=cell.model, target=cell.target)


def run_open(setting: str, case: str, seed: int) -> Table:
    """H-scores of all arms where the target has classes of its own."""
    cell = prepare(setting, case, seed)
    shot = SHOT(random_state=seed, epochs=GLC().epochs).fit(model=cell.model, target=cell.target)
    glc = adapted(cell, seed)
    w0 = glc.threshold
    predictions = {
        "source": rejecting(cell.p, w0),
        "source, own threshold": rejecting(cell.p, cell.threshold),
        "shot": rejecting(shot.predict_proba(cell.target), w0),
        "glc": glc.predict(cell.target),
    }
    if setting == "open-partial":
        ablations = {"global only": {"local_weight": 0.0}, "local only": {"global_weight": 0.0}}
        for arm, change in ablations.items():
            method = adapted(cell, seed, ratio=glc.kappa_, **change)
            predictions[arm] = method.predict(cell.target)
    table: Table = {arm: open_set_scores(cell.truth, labels) for arm, labels in predictions.items()}
    table["glc"]["other_inputs"] = float(len({w for s in signatures(GLC) for w in s.required} - {"model", "target"}))
    known = cell.truth != UNKNOWN
    table["held-out source"] = {"closed_accuracy": cell.held_out}
    table["source"]["closed_accuracy"] = accuracy(cell.truth[known], cell.p.argmax(dim=1).numpy()[known])
    table |= mechanisms(cell, glc.kappa_, seed)
    return table


def mechanisms(cell: Cell, kappa: float, seed: int) -> Table:
    """What the two kinds of clustering know before any training."""
    known = cell.truth != UNKNOWN
    true_ratio = len(np.unique(cell.target.labels)) / cell.p.shape[1]

    def one_vs_all(ratio: float) -> dict[str, float]:
        labels = pseudo_labels(cell.z, cell.p, kappa=ratio, random_state=seed).labels.numpy()
        refused = labels == UNKNOWN
        gap = float(refused[~known].mean() - refused[known].mean())
        return {**open_set_scores(cell.truth, labels), "gap": gap}

    bank = MemoryBank(len(cell.z), cell.z.shape[1], cell.p.shape[1])
    bank.write(slice(None), cell.z, cell.p)
    consensus = bank.consensus(cell.z, GLC().neighbours).argmax(dim=1).numpy()
    return {
        "clusters, true ratio": one_vs_all(true_ratio),
        "clusters, estimated ratio": one_vs_all(kappa),
        "consensus": {"closed_accuracy": accuracy(cell.truth[known], consensus[known])},
        "estimate": {"log2_error": float(abs(np.log2(kappa / true_ratio)))},
    }


def run_partial(case: str, seed: int) -> Table:
    """Accuracy of all arms where the target lacks classes and has none of its own; nothing is rejected."""
    cell = prepare("partial", case, seed)
    shot = SHOT(random_state=seed, epochs=GLC().epochs).fit(model=cell.model, target=cell.target)
    glc = adapted(cell, seed, reject=False)
    predictions = {
        "source": cell.p.argmax(dim=1).numpy(),
        "shot": shot.predict(cell.target),
        "glc": glc.predict(cell.target),
    }
    return {arm: {"accuracy": accuracy(cell.truth, labels)} for arm, labels in predictions.items()}
