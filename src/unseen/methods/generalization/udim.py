"""UDIM: make the loss on the source and on crafted unknown domains agree, on top of a sharpness-aware optimizer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any, Literal, NamedTuple, Self

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from unseen.data.domain import Domain
from unseen.data.samplers import Batch, domain_numbers, hold_out, joint_batches, joint_steps
from unseen.methods.base import Card
from unseen.methods.network import NetworkMethod
from unseen.methods.parameters import NonNegative, Positive, Within
from unseen.nn.classifier import Classifier, as_classifier, check_labels, outputs, rest_statistics
from unseen.nn.sharpness import ASAM, SAGM, SAM, FisherSAM, SharpnessAware
from unseen.nn.train import Run, train

_TINY = 1e-12
Around = Literal["sam", "asam", "fisher", "sagm", "erm"]
Perturb = Literal["input", "style", "none"]
Normalise = Literal["per_instance", "batch"]
Centre = Literal["source", "own"]


class UDIM(NetworkMethod):
    """Unknown domain inconsistency minimization: no target, one source domain or several [1].

    The loss should be low and flat on the source, and as high on any domain within reach as on the source:

        min_theta  max_{|eps| <= rho} L_S(theta + eps)  +  weight * max_T I(theta; S, T),

    where I compares the two losses around theta. The unknown domain T is crafted anew for every batch, by one step of
    ascent from the samples. I is P + N of the gradients of the head, sample by sample: P, how far their variances on S
    and T differ; N, how large they are on T. The first fifth of training is the sharpness-aware optimizer alone.

    Parameters
    ----------
    weight : float, >= 0
        lambda, of the inconsistency. P and N are means over the entries of the head, so that large heads need more.
    radius : float, >= 0
        rho_x, how far a crafted sample is from its own: the length of the step ("input"), its rate ("style").
    perturb : {"input", "style", "none"}
        What is crafted: the samples; mean and deviation of each channel of pictures; nothing (T is S).
    normalise : {"per_instance", "batch"}
        The step of each sample has length `radius`, or each entry has it over the batch, as in the released code.
    variance_term, norm_term : bool
        Whether P and N count.
    centre : {"source", "own"}
        Around which mean the variance on T is taken. Around its own, a shift of the mean is not seen.
    learn_crafted : bool
        Whether the crafted samples, too, are learned from: their cross-entropy counts as that of the source. With
        `weight` 0 this is the optimizer that it is put on with the crafted samples as data, and no inconsistency.
    domain_wise : bool
        With several sources (a column `domain`), P and N of each domain by itself, summed.
    around : {"sam", "asam", "fisher", "sagm", "erm"}
        The optimizer that it is put on; "erm" is AdamW without a neighbourhood.
    rho : float, >= 0
        Radius of that neighbourhood, and weight of the gradient's length in the ascent.
    warmup : float in [0, 1)
        Share of the epochs without the inconsistency.
    aside : float in [0, 1)
        Share of the source, by class, on which the epoch is chosen; 0 keeps the last.
    learning_rate, weight_decay : float
        Of AdamW.
    epochs : int
    batch_size : int
        Samples in a batch, as many of each domain.

    Attributes
    ----------
    network_ : Module
        The classifier of the epoch that is best on the source samples that were set aside.
    history_ : dict of arrays
        Per epoch of the second stage: `loss`, `variance` (P), `norm` (N), `moved` (the mean length of the crafting),
        `crafted` (the loss on the crafted samples), and `score` (accuracy on what was set aside).

    References
    ----------
    [1] Shin, Bae, Na, Kim, Moon, "Unknown Domain Inconsistency Minimization for Domain Generalization", ICLR 2024.
    """

    card = Card(
        slug="udim",
        cost=6.0,
        title="Unknown Domain Inconsistency Minimization for Domain Generalization",
        venue="ICLR 2024",
        official_code="SJShin-AI/UDIM",
        summary="Make the loss on the source and on crafted unknown domains agree.",
        unseen={"domains"},
        modalities={"features", "image"},
        protocols={"closed", "partial"},
        presets={
            "default": {},
            "style": {"perturb": "style"},
            "paper": {
                "learning_rate": 3e-5, "weight_decay": 1e-4, "batch_size": 48, "radius": 10.0, "weight": 1.0,
                "normalise": "batch",
            },
        },
        on_request={"style", "paper"},
        smoke={"epochs": 2},
        parts=("unseen.nn.sharpness.SAM", "unseen.nn.sharpness.SAGM"),
        left_out=(
            "GAM, a third optimizer that the paper puts it on, is not here; SAM, ASAM, Fisher SAM and SAGM are.",
        ),
        notes=(
            "SAM that learns the crafted samples as data (`weight=0, learn_crafted=True`) does as well, without an "
            "inconsistency: on 17 styles of letters, titles of diseases, furniture and weather .549 each, SAM without "
            "them .536, plain training .535, crafted as far as a thirteenth of the samples' spread; with the radius of "
            "1 on ten vendors of emoji better, .427 against .408 (`unseen reproduce udim --json`).",
            "The released code divides the ascent by its length over the batch, entry by entry; the paper's radius is "
            "that of each sample, and so it is here (`normalise` for theirs).",
            "The gradient's length has 1e-12 under its root, and a sample without a gradient stays where it is: once "
            "the batch is fitted, both would be infinite.",
            "The warm-up keeps the weights of its best epoch on source set aside; the optimizer is as it ended.",
            "Inconsistency is of the head only, in closed form; moments of gradients come from their factors, "
            "and no gradient per sample is held. A batch has as many samples of each domain; the preset `paper` has 16 "
            "of each of three.",
            "The paper trains whole networks, and so does this where `model` reads pictures; on cached features the "
            "backbone stays the encoder's: only bottleneck and head learn, and unknown domains are crafted as "
            "features, which may be those of no picture, and never by style (`perturb=\"style\"`).",
        ),
    )  # fmt: skip

    weight: NonNegative = 10.0
    radius: NonNegative = 1.0
    perturb: Perturb = "input"
    normalise: Normalise = "per_instance"
    variance_term: bool = True
    norm_term: bool = True
    centre: Centre = "source"
    learn_crafted: bool = False
    domain_wise: bool = True
    around: Around = "sam"
    rho: NonNegative = 0.05
    warmup: Annotated[float, Within(0, 1, open_high=True)] = 0.2
    aside: Annotated[float, Within(0, 1, open_high=True)] = 0.1
    learning_rate: Positive = 1e-3
    weight_decay: NonNegative = 1e-4
    epochs: Annotated[int, Within(2)] = 20
    batch_size: Annotated[int, Within(2)] = 64

    def fit(self, *, source: Domain, model: nn.Module) -> Self:
        """Train a copy of `model` on the labelled source, which may have a column `domain`."""
        network = as_classifier(model)
        check_labels(network, source)
        if not isinstance(network.head, nn.Linear):
            kind = type(network.head).__name__
            raise ValueError(f"model must end in one linear layer, whose gradients are compared; it ends in {kind}")
        if self.perturb == "style" and source.kind != "image":
            raise ValueError(f"perturb='style' needs pictures with channels; source holds {source.kind}")
        learn, kept = (source.take(part) for part in hold_out(source.labels, self.aside, self.random_state))
        groups = domain_numbers(learn)
        domains = torch.as_tensor(groups if self.domain_wise else np.zeros_like(groups))
        n_domains = len(np.unique(groups))
        size = min(self.batch_size, len(learn)) // n_domains
        if size < 2:
            raise ValueError(
                f"batch_size must be at least twice the number of domains, {n_domains}, to compare gradients within "
                f"each; got {self.batch_size} for {len(learn)} samples"
            )
        optimizer = self._optimizer(network)

        def warm(batch: Batch, run: Run) -> None:
            run.log(loss=run.descend(lambda: _loss(network, batch.x, batch.y), "udim"))

        def full(batch: Batch, run: Run) -> None:
            with sdpa_kernel(SDPBackend.MATH):  # the fused kernels of attention have no second derivative
                crafted = self._craft(network, batch)
                value = self._inconsistency(network, batch, crafted, domains.to(batch.x.device)[batch.index], run)
                optimizer.further = _gradients(self.weight * value, network)
            warm(_joined(batch, crafted) if self.learn_crafted else batch, run)

        first = min(round(self.warmup * self.epochs), self.epochs - 1)
        stages: list[tuple[str, Callable[[Batch, Run], None], int]] = [
            ("udim-warm-up", warm, first),
            ("udim", full, self.epochs - first),
        ]
        for name, objective, epochs in stages:
            network.train()
            rest_statistics(network)
            if epochs:
                run = train(
                    objective,
                    name=name,
                    nets={"network": network},
                    optimizers={"udim": optimizer},
                    batches=joint_batches(learn, groups, size),
                    epochs=epochs,
                    steps_per_epoch=joint_steps(groups, size),
                    score=(lambda run: _accuracy(network, kept) + 1e-9 * run.epoch) if len(kept) else None,
                )
        self.network_ = network.eval()
        self.history_ = {key: np.array([epoch[key] for epoch in run.history]) for key in run.history[0]}
        return self

    def _optimizer(self, network: nn.Module) -> SharpnessAware:
        """SAM, or whatever it is put around, on AdamW."""
        types = {"sam": SAM, "asam": ASAM, "fisher": FisherSAM, "sagm": SAGM, "erm": SAM}
        settings: dict[str, Any] = {"lr": self.learning_rate, "weight_decay": self.weight_decay}
        rho = 0.0 if self.around == "erm" else self.rho
        return types[self.around](network.parameters(), torch.optim.AdamW, rho=rho, **settings)

    def _inconsistency(self, network: Classifier, batch: Batch, crafted: Tensor, domains: Tensor, run: Run) -> Tensor:
        """I = P + N between a batch and what is crafted from it, summed over the domains in it (equation 12)."""
        assert batch.y is not None
        here, there = (head_gradients(network, x, batch.y) for x in (batch.x, crafted))
        parts = [([g.of(group) for g in here], [g.of(group) for g in there]) for group in _groups(domains)]
        terms = [inconsistency(a, b, centre=self.centre) for a, b in parts]
        p, n = (torch.stack(part).sum() for part in zip(*terms)) if terms else (batch.x.new_zeros(()),) * 2
        with torch.no_grad():
            moved = (crafted - batch.x).flatten(1).norm(dim=1).mean()
            run.log(variance=p, norm=n, moved=moved, crafted=_loss(network, crafted, batch.y))
        return self.variance_term * p + self.norm_term * n

    def _craft(self, network: Classifier, batch: Batch) -> Tensor:
        x, y = batch.x, batch.y
        assert y is not None
        if self.perturb == "none":
            return x
        if self.perturb == "style":
            return craft_styles(network, x, y, rho=self.rho, rate=self.radius)
        return craft_inputs(network, x, y, rho=self.rho, radius=self.radius, normalise=self.normalise)


# -- the unknown domain ---------------------------------------------------------------------------------------


def worst_case(network: Classifier, x: Tensor, y: Tensor, rho: float) -> Tensor:
    """A(x) = L(x, y) + rho ||grad_theta L(x, y)||, the loss at the worst of a ball of radius rho, to first order."""
    loss = _loss(network, x, y)
    parameters = [p for p in network.parameters() if p.requires_grad]
    gradients = torch.autograd.grad(loss, parameters, create_graph=True, allow_unused=True)
    square = torch.stack([g.square().sum() for g in gradients if g is not None]).sum()
    return loss + rho * torch.sqrt(square + _TINY)


def craft_inputs(
    network: Classifier, x: Tensor, y: Tensor, *, rho: float, radius: float, normalise: Normalise = "per_instance"
) -> Tensor:
    """x~ = x + rho_x normalise(grad_x A), one step of ascent; a sample without a gradient stays (section 3.2).

    Parameters
    ----------
    x : Tensor (b, ...)
        Samples; the result, of the same shape, is not cut to any range.
    radius : float
        rho_x: how far each sample moves ("per_instance"), or the length of each entry over the batch ("batch").
    """
    x = x.detach().requires_grad_()
    (g,) = torch.autograd.grad(worst_case(network, x, y, rho), [x])
    length = g.flatten(1).norm(dim=1) if normalise == "per_instance" else g.norm(dim=0)
    shape = (-1, *[1] * (x.ndim - 1)) if normalise == "per_instance" else (1, *x.shape[1:])
    length = length.reshape(shape)
    return (x + radius * torch.where(length > 0, g / length.clamp_min(_TINY**2), 0)).detach()


def craft_styles(
    network: Classifier, x: Float[Tensor, "b c h w"], y: Int[Tensor, " b"], *, rho: float, rate: float
) -> Float[Tensor, "b c h w"]:
    """x~ = x_norm sigma' + mu': mean and deviation of each channel go up A by one plain step of gradient ascent.

    The deviation is the unbiased one, over n - 1 of n pixels; of a single pixel it is that of a constant.
    """
    mu = x.mean(dim=(2, 3), keepdim=True)
    correction = min(1, x.shape[2] * x.shape[3] - 1)
    sigma = torch.sqrt(x.var(dim=(2, 3), keepdim=True, correction=correction) + 1e-5)
    normed = ((x - mu) / sigma).detach()
    mu, sigma = mu.detach().requires_grad_(), sigma.detach().requires_grad_()
    to_mu, to_sigma = torch.autograd.grad(worst_case(network, normed * sigma + mu, y, rho), [mu, sigma])
    return (normed * (sigma + rate * to_sigma) + mu + rate * to_mu).detach()


# -- the inconsistency ------------------------------------------------------------------------------------------


class Factors(NamedTuple):
    """Gradients e z^T of a batch, (C, D) for each sample, which are never held themselves."""

    e: Float[Tensor, "b c"]
    z: Float[Tensor, "b d"]

    def moments(self) -> tuple[Float[Tensor, "c d"], Float[Tensor, "c d"]]:
        """Means over the samples of every entry and of its square."""
        return self.e.T @ self.z / len(self.e), self.e.square().T @ self.z.square() / len(self.e)

    def of(self, samples: Int[Tensor, " k"]) -> Factors:
        """Those of some samples."""
        return Factors(self.e[samples], self.z[samples])


def head_gradients(network: Classifier, x: Tensor, y: Int[Tensor, " b"]) -> list[Factors]:
    """Gradients of each sample's cross entropy for the linear head, as factors: e z^T of its weight, e 1^T of its bias.

    e = softmax(W z + b) - onehot(y); so no automatic gradient per sample is needed.
    """
    z = network.embed(x)
    logits = network.head(z)
    e = torch.softmax(logits, dim=1) - F.one_hot(y, logits.shape[1])
    weight, bias = Factors(e, z), Factors(e, torch.ones_like(e[:, :1]))
    return [weight] if getattr(network.head, "bias", None) is None else [weight, bias]


def inconsistency(
    here: Sequence[Factors], there: Sequence[Factors], *, centre: Centre = "source"
) -> tuple[Tensor, Tensor]:
    """P and N of head gradients on the source and on the crafted domain.

    P = mean (var_S - var_T)^2 / 4 over all entries, variances around the mean on the source; N = the squared length on
    the crafted domain over the number of entries, for bias and weight each, added.
    """
    differences, n = [], here[0].e.new_zeros(())
    for g, crafted in zip(here, there):
        m, square = g.moments()
        mean, crafted_square = crafted.moments()
        about = m if centre == "source" else mean
        var, var_crafted = square - m.square(), crafted_square - mean.square() + (mean - about).square()
        differences.append((var - var_crafted).flatten())
        n = n + crafted_square.mean()
    return torch.cat(differences).square().mean() / 4, n


# -- parts of the training --------------------------------------------------------------------------------------


def _loss(network: nn.Module, x: Tensor, y: Tensor | None) -> Tensor:
    assert y is not None
    return F.cross_entropy(network(x), y)


def _joined(batch: Batch, crafted: Tensor) -> Batch:
    """A batch and what is crafted from it, of the same classes."""
    assert batch.y is not None
    return Batch(torch.cat([batch.x, crafted]), batch.y.repeat(2), batch.index.repeat(2))


def _gradients(value: Tensor, network: nn.Module) -> dict[Tensor, Tensor]:
    """Gradients of a value by parameter; those that it does not depend on are left out."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    if not value.requires_grad:
        return {}
    gradients = torch.autograd.grad(value, parameters, allow_unused=True)
    return {p: g for p, g in zip(parameters, gradients) if g is not None}


def _groups(domains: Tensor) -> Iterator[Tensor]:
    """Positions of each domain's samples in a batch; a domain with one sample has no variance and is left out."""
    for domain in torch.unique(domains):
        members = torch.nonzero(domains == domain).flatten()
        if len(members) > 1:
            yield members


def _accuracy(network: Classifier, domain: Domain) -> float:
    return float((outputs(network, domain)[1].argmax(dim=1).numpy() == domain.labels).mean())
