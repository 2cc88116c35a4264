"""GLC's claim: a source model meets drawings or digits of another kind, some classes gone and some new."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unseen.claims import worlds
from unseen.claims.base import Claim, Experiment, Result, seeds
from unseen.claims.conditions import at_least, better, equals
from unseen.claims.ledger import effect, mechanism, not_testable, paper_scale, promised
from unseen.claims.shifts import domains, numbered_subgroups, read, source_model, subgroups
from unseen.data.domain import Domain
from unseen.evaluation.metrics.classification import accuracy
from unseen.evaluation.metrics.open_set import open_set_scores
from unseen.evaluation.protocols.thresholds import entropy_threshold
from unseen.methods.adaptation.glc import GLC, RATIOS, pseudo_labels
from unseen.methods.base import UNKNOWN, signatures
from unseen.methods.baselines.shot import SHOT
from unseen.nn.classifier import Classifier, outputs
from unseen.nn.information import normalized_entropy


class Split(NamedTuple):
    """How many classes both sides have, only the source, and only the target."""

    shared: int
    source: int
    target: int


DIGITS = {"open-partial": Split(5, 2, 3), "open": Split(7, 0, 3), "partial": Split(5, 5, 0)}
EMOJI = {"open-partial": Split(12, 6, 11), "open": Split(15, 0, 14), "partial": Split(15, 14, 0)}


# -- data --------------------------------------------------------------------------------------------------


def parts(case: str, setting: str, seed: int, seen: Callable[[str], Domain] = subgroups) -> tuple[Domain, Domain]:
    """Labelled source and target of a case; the target's own classes come after those of the source.

    A case is `digits TURN ORDER`, `fonts ORDER` or `emoji SOURCE TARGET ORDER`: ORDER seeds which classes are
    shared; `as-is` is their own order.
    """
    pair, order = case.rsplit(maxsplit=1)
    source, target = domains(pair, seed, seen)
    split = (EMOJI if pair.startswith("emoji") else DIGITS)[setting]
    n = sum(split)
    classes = np.arange(n) if order == "as-is" else np.random.default_rng(int(order)).permutation(n)
    place = np.empty(n, dtype=np.int64)
    place[classes] = np.arange(n)
    source, target = (d.replace(y=place[d.labels], classes=None) for d in (source, target))
    known = split.shared + split.source
    private = (target.labels >= known) & (target.labels < known + split.target)
    return source.take(source.labels < known), target.take((target.labels < split.shared) | private)


# -- arms --------------------------------------------------------------------------------------------------


def rejecting(p: Tensor, threshold: float) -> NDArray[np.int64]:
    """The most probable class, or `UNKNOWN` where the normalized entropy is above the threshold."""
    return np.where(normalized_entropy(p).numpy() > threshold, UNKNOWN, p.argmax(dim=1).numpy())


def fifth_and_rest(source: Domain, seed: int) -> tuple[Domain, Domain]:
    """What is held out of the source, and what is learnt from."""
    order = np.random.default_rng(seed).permutation(len(source))
    held_out, kept = (source.take(np.sort(half)) for half in np.split(order, [len(source) // 5]))
    return held_out, kept


def drawn_parts(setting: str, case: str, seed: int) -> list[Any]:
    """What a cell draws."""
    source, target = parts(case, setting, seed, numbered_subgroups)
    return [target, fifth_and_rest(source, seed)]


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
    held_out, kept = fifth_and_rest(source, seed)
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
    """GLC with its defaults; one view, since a mirrored digit is no digit."""
    method = GLC(views="same").set_params(random_state=seed, **hyperparameters)
    return method.fit(model=cell.model, target=cell.target)


def shot(cell: Cell, seed: int) -> SHOT:
    """SHOT for as many epochs as GLC."""
    method = SHOT(epochs=GLC().epochs).set_params(random_state=seed)
    return method.fit(model=cell.model, target=cell.target)


def run_open(setting: str, case: str, seed: int) -> Result:
    """H-scores of all arms where the target has classes of its own; unknown classes are told by entropy."""
    cell = prepare(setting, case, seed)
    glc = adapted(cell, seed)
    predictions = {
        "source": rejecting(cell.p, glc.threshold),
        "source, own threshold": rejecting(cell.p, cell.threshold),
        "shot": rejecting(shot(cell, seed).predict_proba(cell.target), glc.threshold),
        "glc": glc.predict(cell.target),
    }
    if setting == "open-partial":
        ablations = {"global only": {"local_weight": 0.0}, "local only": {"global_weight": 0.0}}
        for arm, change in ablations.items():
            predictions[arm] = adapted(cell, seed, ratio=glc.kappa_, **change).predict(cell.target)
    table: Result = {arm: open_set_scores(cell.truth, labels) for arm, labels in predictions.items()}
    known = cell.truth != UNKNOWN
    table["held-out source"] = {"closed_accuracy": cell.held_out}
    table["source"]["closed_accuracy"] = accuracy(cell.truth[known], cell.p.argmax(dim=1).numpy()[known])
    words = {word for signature in signatures(GLC) for word in signature.required}
    table["glc"]["other_inputs"] = float(len(words - {"model", "target"}))
    return table | one_vs_all(cell, glc.kappa_, seed)


def one_vs_all(cell: Cell, kappa: float, seed: int) -> Result:
    """What the one-vs-all clusters know before any training, with the true number of classes and the estimated."""
    ratio = len(np.unique(cell.target.labels)) / cell.p.shape[1]
    known = cell.truth != UNKNOWN
    table: Result = {}
    for arm, value in (("clusters, true ratio", ratio), ("clusters, estimated ratio", kappa)):
        labels = pseudo_labels(cell.z, cell.p, kappa=value, random_state=seed).labels.numpy()
        refused = labels == UNKNOWN
        gap = float(refused[~known].mean() - refused[known].mean())
        table[arm] = {**open_set_scores(cell.truth, labels), "gap": gap}
    nearest = min(RATIOS, key=lambda candidate: abs(np.log(candidate / ratio)))
    table["clusters, estimated ratio"]["nearest_candidate"] = float(kappa == max(nearest, 2 / cell.p.shape[1]))
    return table


def run_partial(case: str, seed: int) -> Result:
    """Accuracy of all arms where the target lacks classes and has none of its own; nothing is rejected."""
    cell = prepare("partial", case, seed)
    predictions = {
        "source": cell.p.argmax(dim=1).numpy(),
        "shot": shot(cell, seed).predict(cell.target),
        "glc": adapted(cell, seed, reject=False).predict(cell.target),
    }
    return {arm: {"accuracy": accuracy(cell.truth, labels)} for arm, labels in predictions.items()}


# fmt: off
LEDGER = (
    promised("open-partial", better("held-out source", "source", "closed_accuracy", by=0.05),
        "Deep networks often do badly when domain and classes change."),
    not_testable("How to use a model again on a target whose domain and classes differ is an open problem.",
        "It is about the state of the field in 2023."),
    not_testable("Adaptation without source data has become a promising answer to domain shift.",
        "It is about the state of the field in 2023."),
    promised("open-partial", better("glc", "shot", "unknown_accuracy", by=0.2),
        "Source-free methods for equal classes (here SHOT) do not recognize samples of new classes."),
    mechanism("open-partial", equals("glc", "other_inputs", 0),
        "Nothing but a standard pretrained source model and the unlabeled target is needed."),
    effect("open-partial", better("glc", "source", "h_score", by=0.05),
        "Known samples are identified and unknown ones rejected better than by the source model."),
    mechanism("open-partial", at_least("clusters, true ratio", "gap", 0.05),
        "One-vs-all global clustering, told the number of classes, tells the new ones from the known ones."),
    effect("open-partial", at_least("clusters, estimated ratio", "nearest_candidate", 0.6),
        "The clustering adapts to the number of target classes, which it estimates."),
    effect("open-partial", better("glc", "global only", "h_score"),
        "Local clustering of nearest neighbours lessens the harm of wrong global labels."),
    effect("partial", better("glc", "source", "accuracy"), "Superior in partial-set adaptation to the source model."),
    effect("partial", better("glc", "shot", "accuracy"),
        "Superior in partial-set adaptation to adaptation for equal classes (SHOT)."),
    promised("open", better("glc", "source, own threshold", "h_score", by=0.05),
        "Superior in open-set adaptation, also to a source model whose threshold is chosen on source data."),
    promised("open-partial", better("glc", "source, own threshold", "h_score", by=0.05),
        "Superior in open-partial-set adaptation, also to a source model whose threshold is chosen on source data."),
    paper_scale("Open-partial-set: 14.8 points of H-score above UMAD on VisDA.",
        "VisDA (280,000 pictures) and UMAD's results are not at hand. With VisDA as folders of classes: train a "
        "ResNet-50 with bottleneck by `train_source` on 9 classes, then GLC(epochs=30, learning_rate=1e-4, "
        "global_weight=0.3) on 6 shared and 3 new ones; not run."),
    not_testable("The code is public.", "It is at github.com/ispc-lab/GLC; the card says where this one differs."),
)
RUNS: dict[str, Callable[[str, int], Result]] = {
    "open-partial": functools.partial(run_open, "open-partial"),
    "open": functools.partial(run_open, "open"),
    "partial": run_partial,
}

claim = Claim(
    slug="glc",
    ledger=LEDGER,
    experiments={
        setting: Experiment(
            run=run, data=lambda case: read(case.rsplit(maxsplit=1)[0]),
            drawn=functools.partial(drawn_parts, setting),
            development=("digits 20 as-is", "emoji noto twemoji 0", "emoji fluent-emoji-flat openmoji 1"),
            confirmation=("fonts 5", "emoji emojione noto-v1 6", "emoji emojione-v1 fluent-emoji 7"),
            unit="pair of domains with a split of the classes", nothing="source", **seeds(2))
        for setting, run in RUNS.items()
    },
    licences=(worlds.DIGITS, worlds.FONTS, worlds.EMOJI),
)
# fmt: on
