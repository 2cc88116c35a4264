"""A network to train on few labels: fresh, or a given body with a fresh head."""

from __future__ import annotations

import torch
from torch import nn

from unseen.data.domain import Domain
from unseen.data.samplers import tensor
from unseen.nn.build import builder
from unseen.nn.classifier import Classifier, Standardizer, as_classifier, mlp_classifier
from unseen.nn.convnet import small_convnet


@builder("fresh-head")
def fresh_head(network: nn.Module, n_features: int, n_classes: int) -> nn.Module:
    """The network with a new linear head on its `n_features` embeddings. It is changed: pass a copy to keep it."""
    network.head = nn.Linear(n_features, n_classes)
    return network


def student(model: nn.Module | None, support: Domain, target: Domain, n_classes: int, width: int) -> Classifier:
    """A classifier of `n_classes` for samples such as these, with random numbers from the global generator.

    Parameters
    ----------
    model : Module, optional
        The body is a copy of it; the head is new. If absent, the network is a perceptron with one hidden layer of
        `width` on features standardized by all samples here, or for pictures `small_convnet` with a bottleneck of
        about `width`.
    support, target : Domain
    n_classes, width : int

    Raises
    ------
    ValueError
        If `model` cannot read the samples.
    """
    if model is not None:
        network = as_classifier(model).eval()
        try:
            with torch.no_grad():
                z = network.embed(tensor(support, slice(0, 1)))
        except RuntimeError as error:
            raise ValueError(f"support does not fit the model: {error}") from error
        return fresh_head(network, z.shape[1], n_classes)  # type: ignore[return-value]
    if support.kind == "image":
        channels = tensor(support, slice(0, 1)).shape[1]
        return small_convnet(n_classes, channels, max(width // 8, 1))
    network = mlp_classifier(support.n_features, n_classes, width)
    assert isinstance(network.backbone, Standardizer)
    network.backbone.measure(torch.cat([tensor(support), tensor(target)]), floor=0.05)
    return network
