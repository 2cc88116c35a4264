"""Networks that give every pixel a class: a small U-Net, and those of others, cut before the head."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from unseen.data.domain import Domain
from unseen.data.pixels import UNKNOWN, mask_batches
from unseen.data.samplers import Batch
from unseen.nn.build import builder
from unseen.nn.train import Run, train

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's pictures with values in [0, 1], by which published backbones read them."""
MOST_CLASSES = 65_536
"""As a mask of 16 bits tells apart."""
OWN = ("small-unet", "segformer")
"""Networks that need no torchvision."""


class SegmentationNetwork(nn.Module):
    """Features of places, a 1 x 1 classifier on them, and its scores brought to the size of the picture.

    Parameters
    ----------
    body : Module
        From pictures, (b, 3, h, w), to features, (b, d, g, k).
    head : Module
        From features to class scores, (b, c, g, k).
    shallow : Module or None
        A layer of `body` whose channels carry the look of a picture: where statistics are mixed.
    mean, std : tuple of float, optional
        Of the pictures that `body` was made for; none where BatchNorm follows the first convolution.
    """

    def __init__(
        self,
        body: nn.Module,
        head: nn.Module,
        shallow: nn.Module | None,
        mean: tuple[float, ...] | None = None,
        std: tuple[float, ...] | None = None,
    ) -> None:
        super().__init__()
        self.body, self.head = body, head
        self._shallow = next((name for name, module in body.named_modules() if module is shallow), None)
        self.mean, self.std = (None if value is None else torch.tensor(value)[:, None, None] for value in (mean, std))

    @property
    def shallow(self) -> nn.Module | None:
        """A layer whose channels carry the look of a picture."""
        return None if self._shallow is None else self.body.get_submodule(self._shallow)

    def embed(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d g k"]:
        """Features of places."""
        if self.mean is not None and self.std is not None:
            x = (x - self.mean.to(x)) / self.std.to(x)
        return self.body(x)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b n h w"]:
        """Class scores of every pixel."""
        return self.scores(self.embed(x), x.shape[-2:])

    def scores(self, z: Float[Tensor, "b d g k"], size: tuple[int, int] | torch.Size) -> Float[Tensor, "b n h w"]:
        """Class scores of features, brought to a size."""
        return F.interpolate(self.head(z), size=tuple(size), mode="bilinear", align_corners=False)


# -- a small one -------------------------------------------------------------------------------------------


class _UNet(nn.Module):
    def __init__(self, channels: int, width: int, depth: int, stride: int) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(depth)]
        self.stem = _layer(channels, width, stride)
        self.down = nn.ModuleList(_block(max(before, width), after) for before, after in zip([width, *widths], widths))
        self.up = nn.ModuleList(_block(low + high, high) for low, high in zip(widths[:0:-1], widths[-2::-1]))
        self.step = stride * 2 ** (depth - 1)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        x = F.pad(x, (0, -width % self.step, 0, -height % self.step), mode="replicate")
        x, passed = self.stem(x), []
        for level, block in enumerate(self.down):
            x = block(F.max_pool2d(x, 2) if level else x)
            passed.append(x)
        for block, skip in zip(self.up, passed[-2::-1]):
            x = F.interpolate(x, size=skip.shape[-2:], mode="bilinear", align_corners=False)
            x = block(torch.cat([skip, x], dim=1))
        stride = self.step // 2 ** (len(self.down) - 1)
        return x[..., : (height + stride - 1) // stride, : (width + stride - 1) // stride]  # as ONNX divides, too


def _layer(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, stride=stride, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )


def _block(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(*_layer(inputs, outputs), *_layer(outputs, outputs))


@builder("small-unet")
def small_unet(
    n_classes: int, channels: int = 3, width: int = 16, depth: int = 4, stride: int = 2
) -> SegmentationNetwork:
    """A U-Net of some half a million weights for pictures of any size, in any units, that trains on a processor.

    `depth` levels of two 3 x 3 convolutions with BatchNorm and ReLU, of w, 2w, 4w, ... channels, and back up; its
    features lie on a grid of every `stride`-th pixel.
    """
    body = _UNet(channels, width, depth, stride)
    return SegmentationNetwork(body, nn.Conv2d(width, n_classes, 1), body.stem)


# -- those of others ---------------------------------------------------------------------------------------


class _Output(nn.Module):
    """A network whose output is `pick` of what another one says."""

    def __init__(self, network: nn.Module, pick: Callable[[Any], Tensor]) -> None:
        super().__init__()
        self.network, self.pick = network, pick

    def forward(self, x: Tensor) -> Tensor:
        return self.pick(self.network(x))


def _out(said: Any) -> Tensor:
    return said["out"]


def _logits(said: Any) -> Tensor:
    return said.logits


@builder("torchvision-segmenter")
def torchvision_segmenter(name: str, n_classes: int) -> SegmentationNetwork:
    """A network of torchvision that ends in a 1 x 1 convolution, such as ``deeplabv3_resnet50``, with fresh weights."""
    import torchvision

    check_network(name)
    whole = torchvision.models.get_model(name, weights=None, weights_backbone=None, num_classes=n_classes)
    classifier = whole.classifier
    body = nn.Sequential(_Output(whole.backbone, _out), *list(classifier)[:-1])
    return SegmentationNetwork(body, classifier[-1], _first_norm(body), MEAN, STD)


@builder("segformer")
def segformer(
    n_classes: int,
    hidden_sizes: tuple[int, ...] = (32, 64, 160, 256),
    depths: tuple[int, ...] = (2, 2, 2, 2),
    decoder: int = 256,
) -> SegmentationNetwork:
    """SegFormer [1] of transformers with fresh weights; the sizes of MiT-B0 if no others are told.

    References
    ----------
    [1] Xie et al., "SegFormer: Simple and Efficient Design for Semantic Segmentation with Transformers", NeurIPS 2021.
    """
    from transformers import SegformerConfig, SegformerForSemanticSegmentation

    if not 1 <= n_classes <= MOST_CLASSES:  # the configuration makes a name for each
        raise ValueError(f"n_classes must lie in [1, {MOST_CLASSES}]; got {n_classes!r}")

    config = SegformerConfig(
        num_labels=n_classes, hidden_sizes=list(hidden_sizes), depths=list(depths), decoder_hidden_size=decoder
    )
    whole = SegformerForSemanticSegmentation(config)
    head, whole.decode_head.classifier = whole.decode_head.classifier, nn.Identity()
    body = _Output(whole, _logits)
    patches = next(module for module in whole.modules() if isinstance(module, nn.Conv2d))
    return SegmentationNetwork(body, head, patches, MEAN, STD)


def _first_norm(network: nn.Module) -> nn.Module:
    norms = (module for module in network.modules() if isinstance(module, (nn.BatchNorm2d, nn.GroupNorm)))
    return next(norms, next(module for module in network.modules() if isinstance(module, nn.Conv2d)))


def check_network(name: str) -> None:
    """`ValueError` unless `segmenter` makes a network of that name."""
    if name in OWN:
        return
    import torchvision

    known = torchvision.models.list_models(module=torchvision.models.segmentation)
    fitting = [model for model in known if model.startswith(("deeplabv3_", "fcn_"))]  # they end in a 1 x 1 convolution
    if name not in fitting:
        raise ValueError(f"network must be one of {', '.join((*OWN, *fitting))}; got {name!r}")


def segmenter(name: str, n_classes: int) -> SegmentationNetwork:
    """A network by name: ``small-unet``, ``segformer``, or one of torchvision such as ``fcn_resnet50``."""
    if name == "small-unet":
        return small_unet(n_classes)
    if name == "segformer":
        return segformer(n_classes)
    return torchvision_segmenter(name, n_classes)


def as_segmenter(network: nn.Module) -> SegmentationNetwork:
    """A trainable copy of a network with `embed` and `head`.

    Raises
    ------
    TypeError
        If it has none.
    """
    if not callable(getattr(network, "embed", None)) or not isinstance(getattr(network, "head", None), nn.Module):
        raise TypeError(
            f"model must have `embed` (features of places) and `head` (a 1 x 1 classifier), as "
            f"`nn.protocols.Segmenter` says; a {type(network).__name__} has not. Build it with unseen.nn.segmenters"
        )
    network = copy.deepcopy(network)
    for parameter in network.parameters():
        parameter.requires_grad_(parameter.is_floating_point())
    return network  # type: ignore[return-value]


def head_of(network: nn.Module, z: Tensor, size: Any) -> Tensor:
    """Class scores of features of any `Segmenter` at a size, (b, c, h, w)."""
    return F.interpolate(network.head(z), size=tuple(size), mode="bilinear", align_corners=False)  # type: ignore[operator]


def n_outputs(network: nn.Module, channels: int = 3) -> int:
    """How many classes a network scores."""
    training = network.training
    try:
        with torch.no_grad():
            return int(network.eval()(torch.zeros(1, channels, 64, 64)).shape[1])
    finally:
        network.train(training)


def pixel_loss(
    logits: Float[Tensor, "b c h w"], y: Tensor, weight: Float[Tensor, "b h w"] | None = None
) -> Float[Tensor, ""]:
    """Cross entropy, the mean over pixels whose class is known; each times its weight, if there are some (eq. DACS)."""
    losses = F.cross_entropy(logits, y, ignore_index=UNKNOWN, reduction="none")
    if weight is not None:
        losses = losses * weight
    return losses.sum() / (y != UNKNOWN).sum().clamp_min(1)


# -- training on what is labelled --------------------------------------------------------------------------


def train_segmenter(
    network: nn.Module,
    source: Domain,
    *,
    steps: int = 600,
    batch_size: int = 16,
    learning_rate: float = 2e-3,
    crop: int | None = None,
    name: str = "source",
) -> nn.Module:
    """Train a network on pictures with masks, in place: cross entropy, Adam, a rate that falls to nothing (poly 0.9).

    Parameters
    ----------
    network : Module
        A `nn.protocols.Segmenter`.
    source : Domain
        Pictures with masks, (3, h, w).
    steps, batch_size : int
    learning_rate : float
    crop : int, optional
        Side of random squares; whole pictures, all of one size, if absent.
    """
    network.train()
    optimizer = torch.optim.Adam(network.parameters(), learning_rate)
    decay = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: max(1 - step / steps, 0.0) ** 0.9)

    def objective(batch: Batch, run: Run) -> Tensor:
        assert batch.y is not None
        return pixel_loss(network(batch.x), batch.y)

    train(
        objective,
        name=name,
        nets={"network": network},
        optimizers={"adam": optimizer},
        schedulers={"decay": decay},
        batches=mask_batches(source, batch_size, crop=crop, total=steps),
        epochs=math.ceil(steps / 25),
        steps_per_epoch=min(25, steps),
    )
    return network.eval()
