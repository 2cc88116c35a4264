"""What a step costs that is more than a gradient: sharpness-aware steps beside two of their base, prompts of images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from common import Row, in_turns, row
from torch import nn

from unseen import catalogue, encoders
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.encoders.promptable import promptable
from unseen.nn import ASAM, SAGM, SAM, TRAM, FisherSAM, TrustRegion

CLASSES = 10


def run(batches: tuple[int, int] = (8, 32), prompts: tuple[int, int] = (16, 64)) -> list[Row]:
    """Steps and epochs at n samples and at 4 n."""
    torch.set_num_threads(1)
    return [*sharpness_rows(batches), *prompt_rows(prompts)]


# -- sharpness-aware steps ---------------------------------------------------------------------------------


def sharpness_rows(batches: tuple[int, int]) -> list[Row]:
    """A step of each optimizer beside two steps of its base, and its growth, on EfficientNet-Lite0's last stages."""
    taken = [steps(size) for size in batches]
    *_, (own, peer) = taken
    about = f"Lite0's last stages, batch {batches[-1]}"
    rows = [
        row(f"a step of {name}, {about}", seconds, "two steps of SGD", peer, floor=">= 0.9" if name in FAMILY else "")
        for name, seconds in own.items()
    ]
    growth = f"4 x a step on {batches[0]}"
    return rows + [
        row(f"a step of {name}, {about}", seconds, growth, 4 * taken[0][0][name], floor=">= 0.8")
        for name, seconds in own.items()
    ]


FAMILY = {kind.__name__: kind for kind in (SAM, ASAM, FisherSAM, SAGM, TRAM)}
REGION = "TRAM with its trust region"
"""A third pass: what the reference predicts."""


def steps(size: int, count: int = 5) -> tuple[dict[str, float], float]:
    """Seconds of a step of each optimizer, and of two steps of their base, on a batch of this size."""
    import timm

    torch.manual_seed(0)
    whole = timm.create_model("tf_efficientnet_lite0", num_classes=29)
    head = (whole.conv_head, whole.bn2, nn.AdaptiveAvgPool2d(1), nn.Flatten(), whole.classifier)
    net = nn.Sequential(*whole.blocks[5:], *head)
    x, y = torch.randn(size, 112, 14, 14), torch.randint(29, (size,))

    def job(optimizer: Any, passes: int = 1, region: TrustRegion | None = None) -> Callable[[], None]:
        def closure() -> torch.Tensor:
            optimizer.zero_grad()
            logits = net(x)
            if region is not None and not optimizer.perturbed:
                optimizer.radius = region.distance(net, x, logits.detach())
            loss = F.cross_entropy(logits, y)
            loss.backward()
            return loss

        def repeated() -> None:
            for _ in range(count * passes):
                optimizer.step(closure)

        return repeated

    base = {"base": torch.optim.SGD, "lr": 1e-4, "momentum": 0.9}
    family: dict[str, Any] = {name: kind(net.parameters(), **base) for name, kind in FAMILY.items()}
    family["TRAM"].radius = 0.05
    jobs = {name: job(optimizer) for name, optimizer in family.items()}
    jobs[REGION] = job(TRAM(net.parameters(), module=net, **base), region=TrustRegion(net, "pretrained"))
    twice = job(torch.optim.SGD(net.parameters(), lr=1e-4, momentum=0.9), passes=2)
    *own, peer = in_turns(*jobs.values(), twice, repeats=3)
    return {name: seconds / count for name, seconds in zip(jobs, own)}, peer / count


# -- prompts -----------------------------------------------------------------------------------------------


def prompt_rows(sizes: tuple[int, int]) -> list[Row]:
    """An epoch of AD-CLIP, which has a prompt for each pair of a sample and a class, beside its text tower; growth."""
    taken = [prompts(n) for n in sizes]
    names = [f"an epoch of ad-clip, {2 * n * CLASSES} prompts" for n in sizes]
    rows = [row(name, own, "its text tower alone", peer) for name, (own, peer) in zip(names, taken)]
    growth = f"4 x an epoch of {2 * sizes[0] * CLASSES}"
    return [*rows, row(names[-1], taken[-1][0], growth, 4 * taken[0][0], floor=">= 0.8")]


def prompts(n: int) -> tuple[float, float]:
    """Seconds of an epoch on n samples of either domain, and of the text tower on as many prompts."""
    towers = promptable(encoders.get("lite-clip"))
    classes = ClassSpace(names=tuple(f"class {k}" for k in range(CLASSES)))
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(2, n, towers.image.width)).astype(np.float32)
    source, target = (Domain(x=x, y=np.arange(n) % CLASSES, classes=classes, kind="features") for x in rows)

    def fit(epochs: int) -> Any:
        method = catalogue.make("ad-clip", "default", 0, epochs=epochs)
        return method.fit(source=source, target=target.unlabeled(), encoder=towers).network()

    net: Any = fit(1)
    contexts = net.initial.detach().repeat(2 * n, 1, 1).requires_grad_()
    known = torch.arange(CLASSES)
    short, long, peer = in_turns(
        lambda: fit(1), lambda: fit(2), lambda: net.features(contexts, known).sum().backward(), repeats=2
    )
    return max(long - short, 1e-6), peer
