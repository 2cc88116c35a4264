"""Only the last stages are trained where a user froze the first ones, whatever the method."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from unseen.data.domain import Domain
from unseen.methods import METHODS, card, get
from unseen.methods.base import Method, signatures
from unseen.methods.needs import TrainableTowers
from unseen.nn.classifier import Classifier
from unseen.nn.convnet import small_convnet
from unseen.nn.freezing import frozen
from unseen.runtime import reproducible, runtime


def words(slug: str) -> set[str]:
    return {word for way in signatures(get(slug)) for word in (*way.required, *way.optional)}


SLUGS = [
    slug
    for slug in METHODS
    if card(slug).trains and card(slug).task == "class" and "image" in card(slug).modalities and "model" in words(slug)
    if card(slug).needed(TrainableTowers) is None  # two towers that say themselves what trains
    and "source" in words(slug)
]
SETTINGS: list[tuple[str, dict[str, Any]]] = [
    *((slug, {}) for slug in SLUGS),
    ("fewshot-sfda", {"strategy": "bn-head"}),
    ("fewshot-sfda", {"strategy": "ft", "rho": 0.05}),
    ("tram", {"weight_decay": 0.1, "reference": "average", "penalty": 1.0}),
    ("udim", {"around": "asam", "weight_decay": 0.1}),
    ("smos", {"weight_decay": 0.1, "swad": False}),
    ("distill-similar", {"finetune_steps": 2}),
]


def pictures(seed: int, n: int = 36) -> Domain:
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    x = rng.random((n, 3, 8, 8)) + np.eye(3)[y][:, :, None, None]
    domains = np.array([f"style {i}" for i in range(3)])[np.arange(n) // 3 % 3]
    return Domain(x=x.astype(np.float32), y=y, kind="image", columns={"domain": domains})


def whole() -> Classifier:
    """A network of which nothing is frozen, always the same."""
    with reproducible(0):
        return small_convnet(3, width=2).eval()


def model() -> Classifier:
    """It with the front of its backbone frozen: the first convolution and its BatchNorm."""
    network = whole()
    network.backbone[:2].requires_grad_(False)
    return network


def fitted(slug: str, network: Classifier, **settings: Any) -> Method:
    given = {"source": pictures(0), "target": pictures(1), "support": pictures(2, 3), "model": network}
    given |= {"teachers": {"precursor": whole()}}
    method = get(slug)(**{**get(slug).card.smoke, **settings})
    return method.fit(**{word: value for word, value in given.items() if word in words(slug)})


def front(network: Any) -> dict[str, Tensor]:
    return dict(network.backbone[:2].state_dict())


@pytest.mark.parametrize(("slug", "settings"), SETTINGS, ids=lambda value: str(value or "default"))
def test_frozen_weights_and_statistics_keep_every_bit_and_others_move(slug: str, settings: dict[str, Any]) -> None:
    network = model()
    got: Any = fitted(slug, network, **settings).network_
    after = front(got)
    assert all(torch.equal(value, after.pop(key)) for key, value in front(network).items())
    assert not after
    learned = 5 if settings.get("strategy") == "bn-head" else 4  # BatchNorm, or the convolution before it
    assert not torch.equal(got.backbone[learned].weight, network.backbone[learned].weight)
    assert frozen(network) == [*network.backbone[:2].parameters()]


def test_a_network_frozen_for_inference_is_trained_whole() -> None:
    got, free = (fitted("aad", network).network_ for network in (whole().requires_grad_(False), whole()))
    assert all(torch.equal(value, got.state_dict()[key]) for key, value in free.state_dict().items())
    assert not torch.equal(free.backbone[0].weight, whole().backbone[0].weight)


def test_what_a_method_froze_for_itself_the_next_one_trains() -> None:
    first: Any = fitted("shot", whole()).network_
    second: Any = fitted("aad", first).network_
    assert not torch.equal(first.head.weight, second.head.weight)


def test_a_checkpoint_is_of_the_parts_that_were_trained(tmp_path: Path) -> None:
    one, other = whole(), whole()
    one.backbone[0].requires_grad_(False)
    other.backbone[4].requires_grad_(False)
    with runtime(folder=tmp_path):
        fitted("aad", one)
        with pytest.raises(ValueError, match="checkpoint of another start"):
            fitted("aad", other)
