"""GLC: adapt a classifier to an unlabeled target whose classes differ, and reject what it does not know."""

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple, Self

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn

from unseen.data.augment import crop_and_flip, random_crop
from unseen.data.domain import Domain
from unseen.data.samplers import Batch, batches, steps
from unseen.methods.base import UNKNOWN, Card, Method
from unseen.methods.parameters import Count, NonNegative, Positive, Unit, Within
from unseen.methods.verbs import gives
from unseen.nn.classifier import Classifier, as_adaptable, outputs, sgd
from unseen.nn.clustering import kmeans, kmeans_leaving_out
from unseen.nn.information import normalized_entropy
from unseen.nn.neighbours import MemoryBank
from unseen.nn.remembered import remembered
from unseen.nn.schedules import inverse_decay
from unseen.nn.train import Run, train

RATIOS = (0.25, 0.5, 1.0, 2.0, 3.0)
"""Candidates for kappa, the number of target classes over the number of source classes."""


class GLC(Method):
    """Global one-vs-all clustering and local consensus, with the source head frozen [1].

    The user has a classifier of C classes and unlabeled samples of another domain, in which classes may be
    missing, new, or both; nobody says which. Every epoch, each source class competes for the target samples
    against clusters of all the others; a sample that no class wins is taught the uniform distribution, and is
    later recognized by its entropy. The result is that of the last epoch: no label chooses an epoch. The target's
    classes must already be clusters of the embedding; where few neighbours share a class, it can do harm.

    Parameters
    ----------
    rho : float in [0, 1]
        How little the confidence of a class matters: w_c = (1 - rho) * confidence + rho.
    neighbours : int, >= 1
        Size K of the local consensus.
    global_weight, local_weight : float, >= 0
        lambda and eta: L = lambda L_glb + eta L_loc. The authors take lambda .3 for Office-31 and VisDA, and 1.5
        for Office-Home and DomainNet.
    threshold : float in [0, 1]
        w_0: a sample with normalized entropy above it is unknown.
    reject : bool
        Whether `predict` says "unknown" at all; the authors do not where the target has no classes of its own
        (closed and partial set). A model unsure of all samples would lose most of them to w_0.
    ratio : float, > 0, optional
        kappa, the number of target classes over that of source classes; estimated if None.
    project : bool
        Whether kappa is estimated in two dimensions (t-SNE), as the authors' code does, or on the features.
    ratio_samples : int, >= 2
        Samples, drawn at random, on which kappa is estimated.
    views : {"crop+flip", "crop", "same"}
        How pictures are changed for training; features never are.
    epochs, batch_size : int
    learning_rate : float, > 0
        Of the bottleneck; the backbone takes a tenth.

    Attributes
    ----------
    network_ : Module
        The adapted classifier, from samples to C logits.
    kappa_ : float
    history_ : dict
        Per epoch, `counts` (epochs, C) of samples per pseudo-label, the share `unknown` (epochs,), the `prior` w_c
        (epochs, C), and the losses `loss`, `global_loss`, `local_loss` (epochs,); `silhouette` per candidate of
        kappa, NaN where it was not computed.

    References
    ----------
    [1] Qu, Zou, Roehrbein, Lu, Chen, Tao, Jiang, "Upcycling Models under Domain and Category Shift", CVPR 2023.
    """

    card = Card(
        slug="glc",
        rejects=True,
        cost=5.0,
        title="Upcycling Models under Domain and Category Shift",
        venue="CVPR 2023",
        official_code="ispc-lab/GLC",
        summary="Adapt a source model to unlabeled samples with missing or new classes, and reject the new ones.",
        unseen={"domains", "classes"},
        modalities={"features", "image"},
        protocols={"closed", "partial", "open", "open-partial"},
        presets={
            "default": {},
            "global": {"global_weight": 1.5},
            "no-rejection": {"reject": False},
            "paper": {"epochs": 50, "learning_rate": 1e-3},
        },
        at_prediction={"threshold", "reject"},
        smoke={"epochs": 1, "project": False},
        parts=(
            "unseen.nn.classifier.train_source",
            "unseen.nn.clustering.kmeans_leaving_out",
            "unseen.nn.neighbours.MemoryBank",
            "unseen.evaluation.metrics.open_set.open_set_scores",
        ),
        notes=(
            "The last epoch is kept; the official code reports the best epoch by the target's own labels.",
            "The k-means per class share one clustering of all samples as their start and are seeded; the official "
            "code runs faiss from an unseeded start for each class.",
            "Positives are at least 1 and at most half of the samples, negative clusters at least 2; a candidate of "
            "kappa below 2 / C counts as 2 / C, the number of clusters that its silhouette is of.",
            "Kappa is estimated on at most `ratio_samples` samples; the official code takes a third of large sets.",
            "Pictures come as tensors of their final size, so the training view is cropped from mirrored borders.",
            "Learning rate 3e-3 and 10 epochs suit cached features; preset `paper` has the authors' figures.",
            "The estimate of kappa is often far off (see the evidence); set `ratio` if you know it.",
            "The paper trains whole networks, and so does this where `model` reads pictures, the backbone at a tenth "
            "of the rate; on cached features the backbone and its BatchNorm statistics stay the encoder's: only the "
            "bottleneck learns (the head rests in both), and no pictures are cropped or flipped.",
        ),
    )

    rho: Unit = 0.75
    neighbours: Count = 4
    global_weight: NonNegative = 0.3
    local_weight: NonNegative = 1.0
    threshold: Unit = 0.55
    reject: bool = True
    ratio: Positive | None = None
    project: bool = True
    ratio_samples: Annotated[int, Within(2)] = 2000
    views: Literal["crop+flip", "crop", "same"] = "crop+flip"
    epochs: Count = 10
    batch_size: Annotated[int, Within(2)] = 64
    learning_rate: Positive = 3e-3

    network_: nn.Module = dataclasses.field(init=False)

    def fit(self, *, model: nn.Module, target: Domain) -> Self:
        """Adapt a copy of `model` to the unlabeled target."""
        network = as_adaptable(model).train()
        network.head.requires_grad_(False)
        n, d, c = _sizes(network, target)
        optimizer = sgd(network, self.learning_rate, train_head=False)
        bank = MemoryBank(n, d, c)
        tables = _Tables(self.epochs, n, c, self.ratio)

        def label(run: Run) -> None:
            z, logits = outputs(network, target)
            p = torch.softmax(logits, dim=1)
            if run.epoch == 0 and self.ratio is None:
                estimate = estimate_class_ratio(
                    z, c, project=self.project, n_samples=self.ratio_samples, random_state=self.random_state
                )
                tables.kappa.fill_(estimate.kappa)
                tables.silhouettes.copy_(torch.tensor(list(estimate.silhouettes.values())))
            labels = pseudo_labels(z, p, rho=self.rho, kappa=float(tables.kappa), random_state=self.random_state)
            tables.enter(run.epoch, labels)
            bank.write(slice(None), z, p)

        def objective(batch: Batch, run: Run) -> Tensor:
            z = network.embed(batch.x)
            p = torch.softmax(network.head(z), dim=1)
            q = bank.consensus(z, self.neighbours)
            bank.write(batch.index, z, p)
            global_loss = soft_cross_entropy(p, tables.targets[batch.index])
            local_loss = soft_cross_entropy(p, q)
            run.log(global_loss=global_loss, local_loss=local_loss)
            return self.global_weight * global_loss + self.local_weight * local_loss

        augment = {"crop+flip": crop_and_flip, "crop": random_crop, "same": None}[self.views]
        per_epoch = steps(n, self.batch_size)
        run = train(
            objective,
            name="glc",
            nets={"network": network, "bank": bank, "tables": tables},
            optimizers={"sgd": optimizer},
            schedulers={"decay": inverse_decay(optimizer, self.epochs * per_epoch)},
            batches=batches(target, self.batch_size, augment=augment if target.kind == "image" else None),
            epochs=self.epochs,
            steps_per_epoch=per_epoch,
            before_epoch=label,
        )
        self.network_ = network.eval().cpu()
        self.kappa_ = float(tables.kappa)
        self.history_ = tables.history(run)
        return self

    def decision_function(self, x: Tensor) -> Tensor:
        """Logits, (n, C)."""
        return torch.cat([self.network_(x[start : start + 256]) for start in range(0, len(x), 256)])

    @gives("uncertainty")
    def uncertainty(self, x: Any) -> NDArray[np.float32]:
        """u = H(p) / log C of every sample, (n,), in [0, 1]; `predict` rejects those above `threshold`."""
        return normalized_entropy(self.predict_proba(x)).clamp(0, 1).numpy()

    def predict(self, x: Any) -> NDArray[np.int64]:
        """Index of the predicted class of every sample, (n,); -1 (unknown) where u > w_0."""
        p = self.predict_proba(x)
        labels = p.argmax(dim=1)
        if self.reject:
            labels[normalized_entropy(p) > self.threshold] = UNKNOWN
        return labels.numpy()

    def network(self) -> nn.Module:
        """The adapted classifier, without the rejection."""
        return self.network_


# -- the losses --------------------------------------------------------------------------------------------


def soft_cross_entropy(p: Float[Tensor, "b c"], target: Float[Tensor, "b c"]) -> Float[Tensor, ""]:
    """L = mean_i sum_c -y_ic log(p_ic + 1e-5): L_glb for pseudo-labels y, L_loc for the consensus q."""
    return -(target * torch.log(p + 1e-5)).sum(dim=1).mean()


# -- how many classes the target has (once) ------------------------------------------------------------------


class ClassRatio(NamedTuple):
    """kappa, and the silhouette of every candidate (NaN if there were too few samples)."""

    kappa: float
    silhouettes: Mapping[float, float]


@remembered
def estimate_class_ratio(
    z: Float[Tensor, "n d"],
    n_classes: int,
    *,
    ratios: tuple[float, ...] = RATIOS,
    project: bool = True,
    n_samples: int = 2000,
    random_state: int = 0,
) -> ClassRatio:
    """Estimate kappa = C_t / C: the candidate whose clustering of the target has the best silhouette above 0, else 1.

    Parameters
    ----------
    z : Tensor of shape (n, d)
        Embeddings of the target, of any length; at most `n_samples` of them, drawn at random, are used.
    n_classes : int
        C, the number of source classes; a candidate k makes max(int(C k), 2) clusters.
    project : bool
        Cluster the t-SNE map in two dimensions; else the embeddings themselves, as the paper says it.
    """
    points = F.normalize(z, dim=1)
    if len(points) > n_samples:
        chosen = np.random.RandomState(random_state).choice(len(points), n_samples, replace=False)
        points = points[torch.as_tensor(np.sort(chosen))]
    if project and min(points.shape) > 2:
        points = _map_in_two_dimensions(points, random_state)
    silhouettes = {k: _silhouette(points, max(int(n_classes * k), 2), random_state) for k in ratios}
    better = {k: score for k, score in silhouettes.items() if score > 0}
    kappa = max(max(better, key=better.__getitem__), 2 / n_classes) if better else 1.0
    return ClassRatio(kappa, silhouettes)


def _map_in_two_dimensions(points: Tensor, random_state: int) -> Tensor:
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(points) - 1) / 3)
    tsne = TSNE(n_components=2, init="pca", perplexity=perplexity, random_state=random_state)
    return torch.as_tensor(tsne.fit_transform(points.numpy()))


def _silhouette(points: Tensor, k: int, random_state: int) -> float:
    """Silhouette of a k-means with k clusters, in [-1, 1]; NaN if there are not more samples than clusters."""
    from sklearn.metrics import silhouette_score

    if k >= len(points):
        return float("nan")
    labels = kmeans(points, k, restarts=10, random_state=random_state).labels.numpy()
    return float(silhouette_score(points.numpy(), labels)) if len(np.unique(labels)) > 1 else float("nan")


# -- one-vs-all global clustering (every epoch) --------------------------------------------------------------


class PseudoLabels(NamedTuple):
    """Soft targets (n, C), the class each sample was given or -1 (n,), and the priors w_c (C,)."""

    targets: Tensor
    labels: Tensor
    prior: Tensor


def pseudo_labels(
    z: Float[Tensor, "n d"],
    p: Float[Tensor, "n c"],
    *,
    rho: float = 0.75,
    kappa: float = 1.0,
    n_negatives: int | None = None,
    random_state: int = 0,
) -> PseudoLabels:
    """Give each sample the class that wins it against clusters of all other samples, or no class.

    Parameters
    ----------
    z : Tensor of shape (n, d)
        Embeddings, of any length; at least two.
    p : Tensor of shape (n, C)
        Probabilities of the source classes.
    rho, kappa : float
        See `GLC`; kappa sets how many samples count as positives of a class.
    n_negatives : int, optional
        Negative prototypes per class; max(2, int(C kappa)) if None.
    random_state : int
        Of the k-means.
    """
    z = F.normalize(z, dim=1)
    positives = most_confident(p, n_positives(len(z), p.shape[1], kappa))
    prior = confidence_prior(p, positives, rho)
    similarity = z @ positive_prototypes(z, positives).T
    k = max(2, int(p.shape[1] * kappa)) if n_negatives is None else n_negatives
    rival = negative_similarity(z, positives, k, random_state=random_state)
    fired = suppress(one_vs_all(similarity, rival, prior), similarity)
    labels = torch.where(fired.any(dim=1), fired.int().argmax(dim=1), UNKNOWN)
    return PseudoLabels(soft_targets(fired), labels, prior)


def n_positives(n: int, n_classes: int, kappa: float) -> int:
    """M = N / C / kappa, the samples that a class would have if all were equally large; 1 to half of them."""
    return max(1, min(int(n / n_classes / kappa), n // 2))


def most_confident(p: Float[Tensor, "n c"], m: int) -> Int[Tensor, "c m"]:
    """The m samples with the highest probability of each class; ties go to the earlier sample."""
    return torch.sort(p, dim=0, descending=True, stable=True).indices[:m].T


def confidence_prior(p: Float[Tensor, "n c"], positives: Int[Tensor, "c m"], rho: float) -> Float[Tensor, "c"]:
    """w_c = (1 - rho) mean_{i positive} p_ic + rho: a class that is sure of nothing must be much nearer."""
    return (1 - rho) * p.T.gather(1, positives).mean(dim=1) + rho


def positive_prototypes(z: Float[Tensor, "n d"], positives: Int[Tensor, "c m"]) -> Float[Tensor, "c d"]:
    """mu_c: the mean of the positives of each class, of unit length."""
    return F.normalize(z[positives].mean(dim=1), dim=1)


def negative_similarity(
    z: Float[Tensor, "n d"], positives: Int[Tensor, "c m"], k: int, *, random_state: int = 0
) -> Float[Tensor, "n c"]:
    """max_k <z_i, nu_ck>, with nu_c the k unit-length centroids of all samples but the positives of c."""
    k = min(k, len(z) - positives.shape[1])
    clusterings = kmeans_leaving_out(z, positives, k, random_state=random_state)
    return torch.stack([(z @ F.normalize(nu, dim=1).T).amax(dim=1) for nu in clusterings], dim=1)


def one_vs_all(
    similarity: Float[Tensor, "n c"], rival: Float[Tensor, "n c"], prior: Float[Tensor, "c"]
) -> Bool[Tensor, "n c"]:
    """o_ic: whether w_c <z_i, mu_c> >= max_k <z_i, nu_ck>."""
    return prior * similarity >= rival


def suppress(accepted: Bool[Tensor, "n c"], similarity: Float[Tensor, "n c"]) -> Bool[Tensor, "n c"]:
    """Only the class with the largest unweighted <z_i, mu_c> may fire, and only if it accepts the sample."""
    nearest = F.one_hot(similarity.argmax(dim=1), similarity.shape[1]).bool()
    return accepted & nearest


def soft_targets(fired: Bool[Tensor, "n c"]) -> Float[Tensor, "n c"]:
    """One-hot rows where a class fired, uniform rows elsewhere, divided by (row sum + 1e-4)."""
    rows = torch.where(fired.any(dim=1, keepdim=True), fired, torch.ones_like(fired)).float()
    return rows / (rows.sum(dim=1, keepdim=True) + 1e-4)


# -- what a run carries --------------------------------------------------------------------------------------


class _Tables(nn.Module):
    """Targets of this epoch, kappa, and a record of every epoch, as buffers of a checkpoint."""

    def __init__(self, epochs: int, n: int, n_classes: int, ratio: float | None) -> None:
        super().__init__()
        self.targets = nn.Buffer(torch.zeros(n, n_classes))
        self.kappa = nn.Buffer(torch.tensor(ratio or 0.0, dtype=torch.float64))
        self.silhouettes = nn.Buffer(torch.full((len(RATIOS),), torch.nan, dtype=torch.float64))
        self.counts = nn.Buffer(torch.zeros(epochs, n_classes, dtype=torch.long))
        self.prior = nn.Buffer(torch.zeros(epochs, n_classes))

    def enter(self, epoch: int, pseudo_labels: PseudoLabels) -> None:
        """Keep the targets, and what the record says of them."""
        self.targets.copy_(pseudo_labels.targets)
        known = pseudo_labels.labels[pseudo_labels.labels != UNKNOWN]
        self.counts[epoch].copy_(torch.bincount(known, minlength=self.counts.shape[1]))
        self.prior[epoch].copy_(pseudo_labels.prior)

    def history(self, run: Run) -> dict[str, Any]:
        """The record as arrays."""
        counts = self.counts.cpu().numpy()
        return {
            "counts": counts,
            "unknown": 1 - counts.sum(axis=1) / len(self.targets),
            "prior": self.prior.cpu().numpy(),
            "silhouette": dict(zip(RATIOS, self.silhouettes.tolist())),
            **{key: np.array([epoch[key] for epoch in run.history]) for key in run.history[0]},
        }


def _sizes(network: Classifier, target: Domain) -> tuple[int, int, int]:
    """n, d and C; `ValueError` if target and model do not fit each other."""
    if len(target) < 2:
        raise ValueError(f"target must hold at least 2 samples; got {len(target)}")
    try:
        z, logits = outputs(network, target.take(slice(0, 2)))
    except RuntimeError as error:
        raise ValueError(f"target does not fit the model: {error}") from error
    if z.ndim != 2 or logits.ndim != 2 or logits.shape[1] < 2:
        shapes = f"{tuple(z.shape)} and {tuple(logits.shape)}"
        raise ValueError(
            f"model must give (n, d) embeddings and (n, C) scores of at least 2 classes; it gives {shapes}"
        )
    if not (torch.isfinite(z).all() and torch.isfinite(logits).all()):
        raise ValueError("model must give finite embeddings and scores on the target; it gives NaN or infinity")
    return len(target), z.shape[1], logits.shape[1]
