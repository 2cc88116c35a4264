"""A small convolutional classifier for pictures, where none is given."""

from __future__ import annotations

from torch import nn

from unseen.nn.build import builder
from unseen.nn.classifier import Classifier


@builder("small-convnet")
def small_convnet(n_classes: int, channels: int = 3, width: int = 16) -> Classifier:
    """Three 3 x 3 convolutions (w, 2w, 4w channels) with BatchNorm, ReLU and pooling, 2 x 2 places, a bottleneck of 8w.

    For pictures of any size from 8 pixels, in any units: BatchNorm follows the first convolution.
    """
    layers: list[nn.Module] = []
    for i, (inputs, outputs) in enumerate(((channels, width), (width, 2 * width), (2 * width, 4 * width))):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
        layers += [nn.MaxPool2d(2) if i < 2 else nn.AdaptiveMaxPool2d(2)]
    bottleneck = nn.Sequential(nn.Linear(16 * width, 8 * width), nn.BatchNorm1d(8 * width), nn.ReLU())
    return Classifier(nn.Sequential(*layers, nn.Flatten()), bottleneck, nn.Linear(8 * width, n_classes))
