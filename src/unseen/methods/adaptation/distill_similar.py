"""Distilling from similar tasks: a small student learns few labels and what the most suitable of a zoo see."""

import logging
import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler

from unseen.data.augment import crop_and_flip, random_crop
from unseen.data.domain import Domain
from unseen.data.samplers import Batch, Both, both_batches, tensor
from unseen.methods.base import Card
from unseen.methods.network import NetworkMethod
from unseen.methods.parameters import Count, Natural, NonNegative, Positive, Unit, Within
from unseen.nn.classifier import Classifier, as_classifier, rest_statistics
from unseen.nn.distillation import multi_source_loss, power_weights
from unseen.nn.operations import LEARNT, SPEED
from unseen.nn.student import student
from unseen.nn.train import Run, train
from unseen.nn.transferability import Similarity
from unseen.nn.zoo import Outputs, online, similarities, zoo_outputs

log = logging.getLogger(__name__)

EPOCH = 50
"""Steps between two checkpoints."""
SMALL_STEP = 0.0015
"""Seconds of a step beside its operations: measured on 64 to 10,240 features, with one source and with five."""


class DistillSimilar(NetworkMethod):
    """Train a small network on few labels by distilling the trained networks that suit the task, DistillWeighted [1].

    No data of the sources is needed, and their classes may be any: for each source the student has a head in the
    source's own label space, which is dropped after training.

    Parameters
    ----------
    sources : {"weighted", "nearest"}
        All sources by their weights (DistillWeighted), or the most similar one alone (DistillNearest).
    metric : {"parc", "leep", "nce", "h-score", "logme", "knn", "cka"}
        Similarity of a source to the task, by its features (leep, nce: its predictions) of the support.
    n_dims : int, optional
        Features of a source after PCA, before the similarity is taken, where at least 3 `n_dims` samples are looked at;
        None, or with fewer samples: all (H-score: n // 3).
    n_probe : int, >= 2
        At most so many samples of the support, of all classes alike, are looked at for the similarity.
    power : float, >= 0
        p in alpha_s = max(e_s, 0)^p / sum: 0 weighs all alike, those below 0 too; a large one approaches "nearest".
        LEEP, NCE and LogME, log likelihoods, count as likelihoods.
    cut_off : float in [0, 1)
        Sources with a smaller share than this are not distilled from, to save work.
    labels : float in [0, 1]
        lambda, the share of the loss on labels; the rest is the distillation. 1 is plain supervised training.
    temperature : float, > 0
        T of both softmaxes in the distillation.
    scaled : bool
        Whether the distillation is multiplied by T^2.
    steps : int, >= 1
        Of SGD with momentum .9 and a rate that falls as a cosine.
    batch_size, ratio : int, >= 1
        Labelled samples of a batch, and how many times as many unlabeled ones stand beside them.
    learning_rate : float, > 0
    weight_decay : float, >= 0
        Of SGD.
    finetune_steps : int, >= 0
        Last steps on the labels alone, at a tenth of the rate; BatchNorm keeps the statistics of both.
    views : {"same", "crop", "crop+flip"}
        How pictures are changed for the student; features never are.
    online : bool
        Whether the sources look at each changed picture anew; else each reads every sample once, as it is.
    width : int, >= 1
        Hidden features of a student that is made here.

    Attributes
    ----------
    network_ : Module
        The student: features phi_0 and head h_0.
    similarities_, weights_ : dict
        e_s and alpha_s by name of the source; weights of 0 where nothing was distilled from it.
    history_ : dict
        `loss`, `label_loss` and `distillation_loss` per 50 steps; `finetune_loss` of the last steps.

    References
    ----------
    [1] Borup, Phoo, Hariharan, "Distilling from Similar Tasks for Transfer Learning on a Budget", ICCV 2023.
    """

    card = Card(
        slug="distill-similar",
        cost=4.0,
        title="Distilling from Similar Tasks for Transfer Learning on a Budget",
        venue="ICCV 2023",
        summary="Train a small model with few labels by distilling the most task-similar models of a zoo.",
        unseen={"domains", "data"},
        modalities={"features", "image"},
        protocols={"closed"},
        presets={
            "default": {},
            "nearest": {"sources": "nearest"},
            "paper": {"steps": 50_000, "batch_size": 128, "ratio": 1, "views": "crop+flip"},
        },
        on_request={"paper"},
        smoke={"steps": 4, "batch_size": 8, "ratio": 2, "width": 8},
        parts=(
            "unseen.nn.transferability.similarity",
            "unseen.nn.distillation.power_weights",
            "unseen.nn.distillation.multi_source_loss",
            "unseen.nn.zoo.rank_teachers",
            "unseen.bundle.read_zoo",
            "unseen.data.samplers.both_batches",
        ),
        left_out=(
            "RSA as a similarity: it needs a reference network that is trained on the task.",
            "The 28 networks of the paper and its student, a MobileNetV3 from ImageNet: give them as `teachers` and "
            "`model`.",
        ),
        notes=(
            "There is no official code. The form of the loss, lambda = .8, T = 1 and power weights follow the paper, "
            "as far as it is known; p = 12 is a choice in the range that it uses.",
            "PARC's authors let rounding errors order pairs of samples whose labels differ alike; here these are tied "
            "(`unseen.nn.transferability.parc`, `decimals=None` gives theirs).",
            "The authors take n components where n_dims is above the number n of samples; standardized, these put all "
            "samples equally far apart, and similarities are noise. Here all features are kept where there are fewer "
            "than 3 n_dims samples (H-score: n // 3 components).",
            "A batch of the distillation is the labelled and the unlabeled one together.",
            "If no source has a similarity above 0 (and power is not 0), the student learns from labels alone; "
            "a warning is logged.",
            "Sources that are linear on the same encoder's features have the same features and so the same PARC: take "
            "`metric=\"leep\"` or `\"nce\"`, which read what they predict.",
            "The paper trains a whole small network, with sources of any architecture, and so does this on pictures; "
            "on cached features the student and all sources read one encoder's output, which stays: sources differ in "
            "what they make of it alone, a prediction still costs the encoder, and pictures have no views.",
        ),
    )  # fmt: skip

    sources: Literal["weighted", "nearest"] = "weighted"
    metric: Similarity = "parc"
    n_dims: Count | None = 32
    n_probe: Annotated[int, Within(2)] = 500
    power: NonNegative = 12.0
    cut_off: Annotated[float, Within(0, 1, open_high=True)] = 1e-3
    labels: Unit = 0.8
    temperature: Positive = 1.0
    scaled: bool = False
    steps: Count = 400
    batch_size: Annotated[int, Within(2)] = 32
    ratio: Count = 3
    learning_rate: Positive = 0.1
    weight_decay: NonNegative = 1e-4
    finetune_steps: Natural = 0
    views: Literal["same", "crop", "crop+flip"] = "same"
    online: bool = False
    width: Count = 64

    def fit(
        self,
        *,
        support: Domain,
        target: Domain,
        teachers: Mapping[str, nn.Module],
        model: nn.Module | None = None,
    ) -> Self:
        """Learn the classes of `support`; `target` holds unlabeled samples of the same domain.

        Parameters
        ----------
        support, target : Domain
        teachers : mapping of name to Module
            Networks that end in a linear layer, or have `embed` and `head`; of any classes.
        model : Module, optional
            The student starts as a copy of its body; its head is new.
        """
        on_support = zoo_outputs(teachers, support)
        n_classes = len(support.classes) if support.classes is not None else int(support.labels.max()) + 1
        learner = student(model, support, target, n_classes, self.width)
        self.similarities_ = self._similarities(on_support, support)  # step 1
        self.weights_ = self._weights(self.similarities_)  # steps 2 and 3
        used = {name: weight for name, weight in self.weights_.items() if weight > 0}
        chosen = {name: as_classifier(teachers[name]).eval() for name in used}
        on_target = zoo_outputs(chosen, target)
        logits = [(on_support[name][1], on_target[name][1]) for name in used]
        self.history_ = self._train(learner, support, target, list(chosen.values()), logits, list(used.values()))
        self.network_ = learner.eval()
        return self

    def expected_seconds(self, words: Mapping[str, Any]) -> float | None:
        """Of a student that is made here, on features: by its width, and by what a small step takes beside that."""
        support, model = words.get("support"), words.get("model")
        if support is None or model is not None or support.kind != "features":
            return None
        seen = self.batch_size * (1 + self.ratio)
        operations = 2 * LEARNT * seen * support.n_features * self.width
        return (self.steps + self.finetune_steps) * (SMALL_STEP + operations / SPEED)

    # -- which sources ---------------------------------------------------------------------------------------

    def _similarities(self, outputs: Outputs, support: Domain) -> dict[str, float]:
        """Step 1: e_s on the labelled samples."""
        probe = evenly(support.labels, self.n_probe, self.random_state)
        shown = {name: (z[probe], logits[probe]) for name, (z, logits) in outputs.items()}
        return similarities(shown, support.labels[probe], self.metric, self.n_dims)

    def _weights(self, scores: Mapping[str, float]) -> dict[str, float]:
        """Steps 2 and 3: alpha_s; all 0 if lambda is 1 or no source is similar."""
        e = np.array(list(scores.values()))
        if self.metric in ("leep", "nce", "logme"):
            e = np.exp(e)
        if self.labels == 1:
            return dict.fromkeys(scores, 0.0)
        if e.max() <= 0 and (self.power or self.sources == "nearest"):
            log.warning("no source is similar to the task (the best has %.3g): learning from labels alone", e.max())
            return dict.fromkeys(scores, 0.0)
        if self.sources == "nearest":
            alpha = np.eye(len(e))[e.argmax()]
        else:
            alpha = power_weights(e, self.power)
        alpha = np.where(alpha < min(self.cut_off, alpha.max()), 0.0, alpha)
        return dict(zip(scores, (alpha / alpha.sum()).tolist()))

    # -- the student -----------------------------------------------------------------------------------------

    def _train(
        self,
        learner: Classifier,
        support: Domain,
        target: Domain,
        zoo: list[Classifier],
        cached: list[tuple[Tensor, Tensor]],
        weights: list[float],
    ) -> dict[str, Any]:
        """Steps 4 to 8: a head per source, the loss on labels and the distillation, then labels alone if wanted."""
        heads = source_heads(learner, [logits.shape[1] for logits, _ in cached], support)
        views = {"crop": random_crop, "crop+flip": crop_and_flip} if support.kind == "image" else {}
        augment = views.get(self.views)

        def seen(batch: Batch, run: Run) -> Batch:
            return batch if augment is None else batch._replace(x=augment(batch.x, run.generator))

        def taught(labeled: Batch, unlabeled: Batch) -> list[Tensor]:
            if self.online:
                return online(zoo, torch.cat([labeled.x, unlabeled.x]))
            rows = (labeled.index.cpu(), unlabeled.index.cpu())
            return [torch.cat([logits[i] for logits, i in zip(pair, rows)]).to(labeled.x.device) for pair in cached]

        def labels_and_sources(batch: Both, run: Run) -> Tensor:
            labeled = seen(batch.labeled, run)
            assert labeled.y is not None
            unlabeled = seen(batch.unlabeled, run)
            z = learner.embed(torch.cat([labeled.x, unlabeled.x]))
            on_labels = F.cross_entropy(learner.head(z[: len(labeled.x)]), labeled.y)
            distilled = multi_source_loss(
                taught(labeled, unlabeled), [head(z) for head in heads], weights, self.temperature
            )
            run.log(label_loss=on_labels, distillation_loss=distilled)
            scale = self.temperature**2 if self.scaled else 1.0
            return self.labels * on_labels + (1 - self.labels) * scale * distilled

        def labels_alone(batch: Both, run: Run) -> Tensor:
            labeled = seen(batch.labeled, run)
            assert labeled.y is not None
            return F.cross_entropy(learner(labeled.x), labeled.y)

        nets: dict[str, nn.Module] = {"student": learner.train()}
        objective = labels_and_sources if weights else labels_alone
        run = self._stage("distill", objective, nets | {"heads": heads}, support, target, self.steps, 1.0)
        history = {key: np.array([row[key] for row in run.history]) for key in run.history[0]}
        if self.finetune_steps:
            rest_statistics(learner)
            run = self._stage("labels", labels_alone, nets, support, target, self.finetune_steps, 0.1)
            history["finetune_loss"] = np.array([row["loss"] for row in run.history])
        return history

    def _stage(
        self,
        name: str,
        objective: Any,
        nets: dict[str, nn.Module],
        support: Domain,
        target: Domain,
        steps: int,
        slower: float,
    ) -> Run:
        """So many steps of SGD at a share, `slower`, of the learning rate, which falls as a cosine."""
        parameters = [p for net in nets.values() for p in net.parameters() if p.requires_grad]
        optimizer = torch.optim.SGD(
            parameters, slower * self.learning_rate, momentum=0.9, weight_decay=self.weight_decay, nesterov=True
        )
        return train(
            objective,
            name=f"distill-similar-{name}",
            nets=nets,
            optimizers={"sgd": optimizer},
            schedulers={"cosine": self._schedule(optimizer, steps)},
            batches=both_batches(support, target, self.batch_size, self.ratio, steps, EPOCH),
            epochs=math.ceil(steps / EPOCH),
            steps_per_epoch=min(EPOCH, steps),
        )

    @staticmethod
    def _schedule(optimizer: torch.optim.Optimizer, steps: int) -> LRScheduler:
        """How the rate falls; the arms of the claim fall alike, by another curve."""
        return CosineAnnealingLR(optimizer, steps)


def source_heads(learner: Classifier, sizes: list[int], support: Domain) -> nn.ModuleList:
    """Step 4: g_s, one linear head per source, of the student's features into the source's classes."""
    with torch.no_grad():
        width = learner.eval().embed(tensor(support, slice(0, 1))).shape[1]
    return nn.ModuleList(nn.Linear(width, size) for size in sizes)


def evenly(labels: np.ndarray, n: int, seed: int) -> np.ndarray:
    """At most `n` positions, in order: of each class in turn, until there are enough."""
    if len(labels) <= n:
        return np.arange(len(labels))
    order = np.random.default_rng(seed).permutation(len(labels))
    turn = np.zeros(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        members = order[labels[order] == label]
        turn[members] = np.arange(len(members))
    return np.sort(order[np.argsort(turn[order], kind="stable")][:n])
