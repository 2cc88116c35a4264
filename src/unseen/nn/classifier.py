"""Classifiers in three parts (backbone, bottleneck, head), how to split any network, and how to train one."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from unseen.data.domain import Domain
from unseen.data.samplers import Batch, batches, steps, tensor
from unseen.nn.bn_statistics import batch_norms
from unseen.nn.build import builder
from unseen.nn.schedules import inverse_decay
from unseen.nn.train import Run, train
from unseen.runtime import current


class Classifier(nn.Module):
    """backbone f, bottleneck b and head h: `embed(x) = b(f(x))`, `forward(x) = h(b(f(x)))`."""

    def __init__(self, backbone: nn.Module, bottleneck: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.backbone, self.bottleneck, self.head = backbone, bottleneck, head

    def embed(self, x: Tensor) -> Float[Tensor, "b d"]:
        """Embeddings, (b, d)."""
        return self.bottleneck(self.backbone(x))

    def forward(self, x: Tensor) -> Float[Tensor, "b c"]:
        """Logits, (b, c)."""
        return self.head(self.embed(x))


class Standardizer(nn.Module):
    """Subtract a mean, divide by a deviation: both buffers of shape (d,)."""

    mean: Tensor
    std: Tensor

    def __init__(self, n_features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("std", torch.ones(n_features))

    def measure(self, x: Float[Tensor, "n d"], floor: float = 0.0) -> Standardizer:
        """Take mean and deviation from `x`; a feature that is constant up to rounding keeps deviation 1.

        A deviation is at least `floor` times the median one: a feature that hardly varies here would else be
        thousands of deviations off on samples of another domain.
        """
        std, mean = torch.std_mean(x, dim=0, unbiased=False)
        std = std.clamp_min(floor * float(std.median()))
        self.mean, self.std = mean, torch.where(std > 1e-6 * mean.abs(), std, torch.ones_like(std))
        return self

    def forward(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b d"]:
        """Standardized features."""
        return (x - self.mean) / self.std


@builder("feature-classifier")
def feature_classifier(n_features: int, n_classes: int, bottleneck: int = 256) -> Classifier:
    """A classifier on cached features, in SHOT's three parts.

    Standardization as backbone, Linear + BatchNorm as bottleneck (d = `bottleneck`), and a weight-normalised
    linear head.
    """
    return Classifier(
        Standardizer(n_features),
        nn.Sequential(nn.Linear(n_features, bottleneck), nn.BatchNorm1d(bottleneck)),
        nn.utils.parametrizations.weight_norm(nn.Linear(bottleneck, n_classes)),
    )


@builder("mlp-classifier")
def mlp_classifier(n_features: int, n_classes: int, width: int = 128) -> Classifier:
    """A perceptron on cached features: standardization, Linear + BatchNorm + ReLU (d = `width`), a linear head."""
    hidden = nn.Sequential(nn.Linear(n_features, width), nn.BatchNorm1d(width), nn.ReLU())
    return Classifier(Standardizer(n_features), hidden, nn.Linear(width, n_classes))


@builder("linear")
def linear(n_features: int, n_classes: int) -> Classifier:
    """Logistic regression on standardized features."""
    return Classifier(Standardizer(n_features), nn.Identity(), nn.Linear(n_features, n_classes))


class Pooled(nn.Module):
    """A timm network up to the input of its classifier: pooled features, (b, d)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        features = self.network.forward_features(x)  # type: ignore[operator]
        return self.network.forward_head(features, pre_logits=True)  # type: ignore[operator]


@builder("pooled")
def pooled(network: nn.Module) -> Pooled:
    """A `Pooled` network; the classifier's weights stay in it, unused."""
    return Pooled(network)


@builder("features-alone")
def features_alone(network: nn.Module) -> Pooled:
    """A `Pooled` timm network whose classifier is taken off. The network given is changed: pass a copy to keep it."""
    network.reset_classifier(0)  # type: ignore[operator]
    return Pooled(network)


def without_classifier(network: nn.Module) -> nn.Module:
    """A copy of a `Pooled` timm network without its classifier, which is never asked; any other network as it is."""
    inner = getattr(network, "network", None)
    if isinstance(network, Pooled) and isinstance(inner, nn.Module) and hasattr(inner, "reset_classifier"):
        return features_alone(copy.deepcopy(inner))
    return network


@builder("split")
def split(network: nn.Module) -> Classifier:
    """Cut a plain classification network before its last linear layer; the bottleneck is the identity.

    Understands timm networks, torchvision networks that end in `fc` or `classifier`, and `nn.Sequential`.
    The network given is changed: pass a copy to keep it.
    """
    if hasattr(network, "get_classifier") and hasattr(network, "forward_features"):
        head = network.get_classifier()  # type: ignore[operator]
        if not isinstance(head, nn.Linear):
            raise TypeError(f"the network must end in one linear layer; it ends in {type(head).__name__}")
        network.reset_classifier(0)  # type: ignore[operator]
        return Classifier(Pooled(network), nn.Identity(), head)
    for name in ("fc", "classifier"):
        head = getattr(network, name, None)
        if isinstance(head, nn.Sequential) and isinstance(head[-1], nn.Linear):
            last, head[-1] = head[-1], nn.Identity()
            return Classifier(network, nn.Identity(), last)
        if isinstance(head, nn.Linear):
            setattr(network, name, nn.Identity())
            return Classifier(network, nn.Identity(), head)
    if isinstance(network, nn.Sequential) and isinstance(network[-1], nn.Linear):
        return Classifier(network[:-1], nn.Identity(), network[-1])
    raise TypeError(
        f"a {type(network).__name__} is not a classifier that can be split; give it `embed(x)` and `head`, "
        "or wrap its parts in unseen.nn.classifier.Classifier"
    )


def as_classifier(network: nn.Module) -> Classifier:
    """A trainable copy of `network` with `embed` and `head`; a plain network is split before its last linear layer."""
    network = copy.deepcopy(network)
    for parameter in network.parameters():
        parameter.requires_grad_(parameter.is_floating_point())
    if callable(getattr(network, "embed", None)) and isinstance(getattr(network, "head", None), nn.Module):
        return network  # type: ignore[return-value]
    return split(network)


def as_adaptable(network: nn.Module) -> Classifier:
    """`as_classifier`; a linear model gets a linear map before its head, at first the identity.

    Methods that move features to the head of a source would else have nothing to move.
    """
    classifier = as_classifier(network)
    parts = (classifier.backbone, classifier.bottleneck) if isinstance(classifier, Classifier) else (classifier,)
    learns = any(True for part in parts for _ in part.parameters())
    return classifier if learns or not isinstance(classifier.head, nn.Linear) else with_linear_map(classifier)


@builder("with-linear-map")
def with_linear_map(network: Classifier) -> Classifier:
    """The classifier with a linear map before its head, the identity; it is changed: pass a copy to keep it."""
    assert isinstance(network.head, nn.Linear)
    width = network.head.in_features
    layer = nn.Linear(width, width)
    nn.init.eye_(layer.weight)
    nn.init.zeros_(layer.bias)
    network.bottleneck = nn.Sequential(network.bottleneck, layer)
    return network


@contextlib.contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Put `network` in eval mode inside the block, then every part of it back in the mode that it had."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


@torch.no_grad()
def outputs(network: Classifier, domain: Domain, size: int = 256) -> tuple[Tensor, Tensor]:
    """Embeddings (n, d) and logits (n, c) of all samples in order, in eval mode, on the CPU."""
    device = torch.device(current().device)
    network.to(device)
    z, logits = [], []
    with evaluating(network):
        for start in range(0, len(domain), size):
            embedded = network.embed(tensor(domain, slice(start, start + size)).to(device))
            z.append(embedded.cpu())
            logits.append(network.head(embedded).cpu())
    return torch.cat(z), torch.cat(logits)


def train_source(
    network: Classifier,
    source: Domain,
    *,
    epochs: int = 30,
    batch_size: int = 64,
    learning_rate: float = 1e-2,
    smoothing: float = 0.1,
    name: str = "source",
) -> Classifier:
    """Train a classifier on labelled source data as SHOT and GLC do, in place.

    Cross entropy with label smoothing; SGD with Nesterov momentum 0.9 and weight decay 1e-3; learning rate
    `learning_rate` for bottleneck and head, a tenth of it for the backbone, decaying as (1 + 10 p)^-0.75.

    Raises
    ------
    ValueError
        If a sample has no label, or one that the network has no output for.
    """
    check_labels(network, source)
    if isinstance(network.backbone, Standardizer):
        network.backbone.measure(tensor(source), floor=0.05)
    optimizer = sgd(network, learning_rate, train_head=True)
    network.train()

    def objective(batch: Batch, run: Run) -> Tensor:
        assert batch.y is not None
        return F.cross_entropy(network(batch.x), batch.y, label_smoothing=smoothing)

    per_epoch = steps(len(source), batch_size)
    train(
        objective,
        name=name,
        nets={"network": network},
        optimizers={"sgd": optimizer},
        schedulers={"decay": inverse_decay(optimizer, epochs * per_epoch)},
        batches=batches(source, batch_size),
        epochs=epochs,
        steps_per_epoch=per_epoch,
    )
    return network.eval()


def check_labels(network: Classifier, domain: Domain, name: str = "source") -> int:
    """How many classes `network` scores.

    Raises
    ------
    ValueError
        If a sample of `domain` has no label or one that the network has no output for, or the network cannot read it.
    """
    highest = int(domain.labels.max(initial=-1))
    try:
        n_classes = outputs(network, domain.take(slice(0, 1)))[1].shape[1]
    except RuntimeError as error:
        raise ValueError(f"{name} does not fit the model: {error}") from error
    if highest >= n_classes:
        raise ValueError(f"{name} has label {highest}; the network has outputs for {n_classes} classes")
    return n_classes


def measure_again(network: nn.Module, domain: Domain) -> None:
    """Standardize cached features by the mean and deviation of `domain`, where the network standardizes them.

    What batch normalization does for a network on pictures whose statistics become those of the target (Li et al.,
    "Revisiting Batch Normalization For Practical Domain Adaptation", 2016).
    """
    backbone = getattr(network, "backbone", None)
    if isinstance(backbone, Standardizer) and len(domain) > 1:
        backbone.measure(tensor(domain), floor=0.05)


def rest_statistics(network: nn.Module) -> None:
    """Normalize by what BatchNorm layers remember, and let them remember no more, until the next `train()`."""
    for layer in batch_norms(network).values():
        layer.eval()


def sgd(network: Classifier, learning_rate: float, *, train_head: bool) -> torch.optim.SGD:
    """SHOT's optimizer: SGD, Nesterov momentum 0.9, weight decay 1e-3, a tenth of the rate for the backbone."""
    parts = [(network.backbone, 0.1), (network.bottleneck, 1.0)] + ([(network.head, 1.0)] if train_head else [])
    groups = [{"params": list(part.parameters()), "lr": learning_rate * factor} for part, factor in parts]
    groups = [group for group in groups if group["params"]]
    if not groups:
        raise ValueError("the network has nothing to train before its head")
    return torch.optim.SGD(groups, lr=learning_rate, momentum=0.9, weight_decay=1e-3, nesterov=True)
