"""SF(DA)^2: adapt without the source, by neighbours and by unlimited augmentation of features that costs nothing."""

from typing import Annotated, Literal, Self

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unseen.data.domain import Domain
from unseen.data.samplers import Batch, batches, steps
from unseen.methods.base import Card
from unseen.methods.network import NetworkMethod
from unseen.methods.parameters import Count, NonNegative, Positive, Within
from unseen.nn.attraction import attraction, repulsion
from unseen.nn.classifier import as_adaptable, measure_again, outputs, sgd
from unseen.nn.neighbours import MemoryBank
from unseen.nn.schedules import inverse_decay
from unseen.nn.train import Run, train

LARGEST = 2**29
"""Entries of the class covariances (2 GiB) above which they are refused."""


class SFDA2(NetworkMethod):
    """Source-free adaptation of all parts of a model to unlabeled samples of its classes [1].

        L = L_pos + alpha(t) L_neg  (spectral neighbourhood clustering, SNC)
            + alpha_1 L_IFA         (implicit feature augmentation)
            + alpha_2 L_FD          (feature disentanglement)

    Neighbours in feature space stand for augmentations of one sample: their predictions attract, the others of the
    batch are dispersed. Covariances of the features of each predicted class, kept online, then stand for unlimited
    augmented samples f~ ~ N(f, lambda Sigma): IFA bounds their expected loss in closed form, FD sets the directions of
    variation of classes that overlap apart.

    Parameters
    ----------
    neighbours : int, >= 1
        K; 3 if classes have fewer than 20 samples.
    dispersion : float, >= 0
        alpha_0, of alpha(t) = alpha_0 (1 + 10 t / T)^-decay.
    decay : float, >= 0
        beta; the paper chooses it for each set of data (5 for VisDA).
    squared : bool
        Disperse by squared inner products (SNC), or by plain ones, as AaD does.
    augmentation_weight, disentanglement_weight : float, >= 0
        alpha_1 and alpha_2. The paper's alpha_2 is 10, which destroys training where the source model is weak.
    strength : float, >= 0
        lambda_0, of lambda(t) = lambda_0 t / T.
    normalization : {"target", "source"}
        Whose mean and deviation standardize cached features; in a network for pictures, BatchNorm sees to it.
    start : {"bank", "zero"}
        Class statistics start from all samples, or from nothing, as in the official code: then the covariance of a
        class is that of its first batch, and its gradient large.
    epochs, batch_size : int
    learning_rate : float, > 0
        Of bottleneck and head; the backbone takes a tenth.

    Attributes
    ----------
    network_ : Module
        The adapted classifier of the last epoch.
    history_ : dict of arrays (epochs,)
        Means per epoch: `loss`, `attraction`, `dispersion`, `augmentation`, `disentanglement`.

    References
    ----------
    [1] Hwang, Lee, Shin, Yoon, "SF(DA)^2: Source-free Domain Adaptation Through the Lens of Data Augmentation", ICLR
        2024.
    """

    card = Card(
        slug="sfda2",
        cost=4.0,
        title="SF(DA)^2: Source-free Domain Adaptation Through the Lens of Data Augmentation",
        venue="ICLR 2024",
        official_code="shinyflight/SFDA2",
        summary="Adapt without source data by imitating unlimited augmentation in feature space.",
        unseen={"domains"},
        modalities={"features", "image", "points"},
        protocols={"closed", "partial"},
        presets={
            "default": {},
            "clustering": {"augmentation_weight": 0.0, "disentanglement_weight": 0.0},
            "paper": {"disentanglement_weight": 10.0, "start": "zero", "decay": 5.0, "normalization": "source"},
        },
        on_request={"paper"},
        smoke={"epochs": 1},
        parts=("unseen.nn.attraction.attraction", "unseen.nn.neighbours.MemoryBank"),
        notes=(
            "The last epoch is kept; the official code prints the accuracy on the target's labels after each.",
            "Statistics start from all samples and alpha_2 is .1: with the paper's values training breaks down on weak "
            "source models (preset `paper` has them).",
            "The divergence of the attraction has a constant, which is left out: its gradient is the same.",
            "Augmented logits are computed once for each predicted class and not for each sample.",
            "Cached features are standardized by the target first, as BatchNorm does within a network.",
            "A batch that is not full is left out, and the rate starts undivided; the official code does neither.",
            "A class that nothing is predicted for weighs nothing in FD; the official mean of it is NaN.",
            "The paper trains whole networks, and so does this where `model` reads pictures or clouds, the backbone at "
            "a tenth of the rate; on cached features the backbone stays the encoder's: only bottleneck and head learn, "
            "so that neighbours that its features place wrongly can be moved by one linear layer alone.",
        ),
    )  # fmt: skip

    neighbours: Count = 5
    dispersion: NonNegative = 1.0
    decay: NonNegative = 1.0
    squared: bool = True
    augmentation_weight: NonNegative = 1e-4
    disentanglement_weight: NonNegative = 0.1
    strength: NonNegative = 5.0
    normalization: Literal["target", "source"] = "target"
    start: Literal["bank", "zero"] = "bank"
    epochs: Count = 15
    batch_size: Annotated[int, Within(2)] = 64
    learning_rate: Positive = 1e-3

    def fit(self, *, model: nn.Module, target: Domain) -> Self:
        """Adapt a copy of `model` to the unlabeled target."""
        if len(target) < 2:
            raise ValueError(f"target must hold at least 2 samples; got {len(target)}")
        network = as_adaptable(model).train()
        if not isinstance(network.head, nn.Linear):
            raise ValueError(f"model must end in one linear layer; it ends in {type(network.head).__name__}")
        if self.normalization == "target":
            measure_again(network, target)
        z, logits = outputs(network, target)
        n_features, n_classes = z.shape[1], logits.shape[1]
        regularized = self.augmentation_weight > 0 or self.disentanglement_weight > 0
        if regularized and n_classes * n_features**2 > LARGEST:
            raise ValueError(
                f"model must have narrower features: {n_classes} covariances of {n_features} x {n_features} are "
                f"{4 * n_classes * n_features**2 / 2**30:.0f} GiB; put a linear bottleneck before the head"
            )
        bank = MemoryBank(len(target), n_features, n_classes)
        bank.write(slice(None), z, torch.softmax(logits, dim=1))
        statistics = ClassStatistics(n_classes, n_features if regularized else 0)
        if regularized and self.start == "bank":
            statistics.update(z, logits.argmax(dim=1))
        optimizer = sgd(network, self.learning_rate, train_head=True)
        per_epoch = steps(len(target), self.batch_size)
        total = self.epochs * per_epoch

        def objective(batch: Batch, run: Run) -> Tensor:
            f = network.embed(batch.x)
            logits = network.head(f)
            p = torch.softmax(logits, dim=1)
            y = p.argmax(dim=1)
            bank.write(batch.index, f, p)  # before neighbours are looked up: a sample is its own first
            alpha = self.dispersion * (1 + 10 * run.step / total) ** -self.decay
            strength = self.strength * (run.step + 1) / total
            near = min(self.neighbours, len(target) - 1)
            terms = {
                "attraction": attraction(p, bank.consensus(f, near), near),
                "dispersion": alpha * repulsion(p, squared=self.squared),
            }
            sigma = statistics.update(f, y) if regularized else None
            if sigma is not None and self.augmentation_weight:
                weight: Tensor = network.head.weight  # type: ignore[assignment]
                augmented = implicit_augmentation(weight, logits, y, sigma, strength)
                terms["augmentation"] = self.augmentation_weight * augmented
            if sigma is not None and self.disentanglement_weight:
                apart = disentanglement(sigma, overlap(bank.scores))
                terms["disentanglement"] = self.disentanglement_weight * apart
            run.log(**terms)
            return torch.stack(list(terms.values())).sum()

        run = train(
            objective,
            name="sfda2",
            nets={"network": network, "bank": bank, "statistics": statistics},
            optimizers={"sgd": optimizer},
            schedulers={"decay": inverse_decay(optimizer, total)},
            batches=batches(target, self.batch_size),
            epochs=self.epochs,
            steps_per_epoch=per_epoch,
        )
        self.network_ = network.eval()
        self.history_ = {key: np.array([epoch[key] for epoch in run.history]) for key in run.history[0]}
        return self


# -- online statistics of the classes (step 3) ------------------------------------------------------------------


class ClassStatistics(nn.Module):
    """Count, mean and covariance of the features of each class, over all samples so far, as buffers.

    Features are the raw ones, not of unit length.
    """

    count: Tensor
    mean: Tensor
    covariance: Tensor

    def __init__(self, n_classes: int, n_features: int) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(n_classes))
        self.register_buffer("mean", torch.zeros(n_classes, n_features))
        self.register_buffer("covariance", torch.zeros(n_classes, n_features, n_features))

    def update(self, f: Float[Tensor, "b a"], y: Int[Tensor, " b"]) -> Float[Tensor, "c a a"]:
        """Take in a batch; the covariances, in which only the part of this batch has a gradient (ISDA, eq. 4-6).

        Sigma <- (1 - w) Sigma + w V + w (1 - w) (mu - m)(mu - m)^T, with w the batch's share of all samples of a class.
        """
        f = f.float()
        n = torch.bincount(y, minlength=len(self.count)).to(f)
        m = f.new_zeros(self.mean.shape).index_add(0, y, f) / n.clamp_min(1)[:, None]
        off = f - m[y]
        present = torch.unique(y)
        parts = torch.stack([off[y == c].T @ off[y == c] / n[c] for c in present])
        v = f.new_zeros(self.covariance.shape).index_copy(0, present, parts)
        w = (n / (n + self.count).clamp_min(1))[:, None]
        between = (self.mean - m)[:, :, None] * (self.mean - m)[:, None, :]
        sigma = (1 - w[..., None]) * self.covariance + w[..., None] * (v + (1 - w[..., None]) * between)
        self.covariance = sigma.detach()
        self.mean = ((1 - w) * self.mean + w * m).detach()
        self.count = self.count + n
        return sigma


# -- the regularizers (steps 4 and 5) ---------------------------------------------------------------------------


def implicit_augmentation(
    weight: Float[Tensor, "c a"],
    logits: Float[Tensor, "b c"],
    y: Int[Tensor, " b"],
    sigma: Float[Tensor, "c a a"],
    strength: float,
) -> Tensor:
    """L_IFA = mean_i 2 sum_c l_c(i), the bound of the loss of unlimited samples f~ ~ N(f_i, strength Sigma_{y_i}).

    l_c(i) = -log softmax_c of the logits, each k raised by strength / 2 (w_k - w_c)^T Sigma (w_k - w_c).

    Parameters
    ----------
    weight : Tensor (C, a)
        Effective weights of the head.
    y : int Tensor (b,)
        Predicted classes, whose covariances are those of the samples.
    strength : float, >= 0
        lambda(t).
    """
    present, place = torch.unique(y, return_inverse=True)
    gram = weight @ sigma[present] @ weight.T  # (classes present, C, C): w_k^T Sigma w_c
    variances = torch.diagonal(gram, dim1=1, dim2=2)
    raised = 0.5 * strength * (variances[:, :, None] + variances[:, None, :] - 2 * gram)
    total = torch.logsumexp(logits[:, :, None] + raised[place], dim=1)  # over k, for each c
    return 2 * (total - logits).sum(dim=1).mean()


def overlap(scores: Float[Tensor, "n c"]) -> Float[Tensor, "c c"]:
    """A_cd = <mean prediction of what is predicted c, that of what is predicted d>, 0 on the diagonal; no gradient."""
    n_classes = scores.shape[1]
    y = scores.argmax(dim=1)
    n = torch.bincount(y, minlength=n_classes).to(scores)
    mean = scores.new_zeros(n_classes, n_classes).index_add_(0, y, scores) / n.clamp_min(1)[:, None]
    products = (mean @ mean.T).detach()
    return products - torch.diag(torch.diagonal(products))


def disentanglement(sigma: Float[Tensor, "c a a"], weights: Float[Tensor, "c c"]) -> Tensor:
    """L_FD = -1/2 sum_cd A_cd D_cd, with D the cosine distance of covariances: 1 for directions that share nothing."""
    rows = sigma.flatten(1)
    products = rows @ rows.T
    length = torch.sqrt(torch.diagonal(products).clamp_min(1e-24))
    distance = 1 - products / (length[:, None] * length[None, :] + 1e-12)
    return -0.5 * (weights * distance).sum()
