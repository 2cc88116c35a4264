"""`lite-clip`: an image-text space without any download.

EfficientNet-Lite0's ImageNet probabilities and MiniLM meet in the names and definitions of the ImageNet
classes: a picture lies at the mean of the text vectors of its likeliest classes, weighted by their
probabilities (ConSE [1]), and any class lies at its own text vector.

It is weak where pictures look little like photos. Top-1 on emoji, by words alone: of 142 animals and foods
(chance 0.007) noto 0.06, fluent-flat 0.03, openmoji 0.02; of 29 subgroups (chance 0.034) 0.13, 0.07, 0.07.

References
----------
[1] Norouzi et al., "Zero-Shot Learning by Convex Combination of Semantic Embeddings", ICLR 2014, eq. 3.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.typing import FloatArray
from unseen.encoders.backends import Precision, has_bfloat16
from unseen.encoders.base import Cache, Encoder
from unseen.encoders.cache import cache_root, written
from unseen.encoders.registry import Request
from unseen.encoders.states import save_state
from unseen.encoders.text import build_minilm
from unseen.encoders.two_tower import TwoTowerEncoder, name_and_description
from unseen.encoders.vision import LITE0_PREPROCESS, lean_lite0, lite0_network, with_options
from unseen.files import read_json
from unseen.nn.build import builder

TOP = 10
"""Classes that enter the mean; the paper's T."""

LOGIT_SCALE = 20.0
"""Factor of the cosine before the softmax: the one that MiniLM was trained with."""


class Probabilities(nn.Module):
    """A classifier's softmax."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Probabilities, (b, c)."""
        logits: Tensor = self.network(images)
        return logits.float().softmax(dim=1)


class ConSE(nn.Module):
    """Unit vectors of pictures from the vectors of their likeliest classes.

    Parameters
    ----------
    network : nn.Module
        A classifier of K classes.
    vectors : Tensor (K, d)
        The text vector of each class.
    top : int
        How many classes enter.
    """

    probabilities: Probabilities
    vectors: Tensor

    def __init__(self, network: nn.Module, vectors: Tensor, top: int = TOP) -> None:
        super().__init__()
        self.probabilities = Probabilities(network)
        self.register_buffer("vectors", vectors)
        self.top = top

    def forward(self, images: Tensor) -> Tensor:
        """Unit vectors, (b, d)."""
        weights, classes = self.probabilities(images).topk(self.top, dim=1)
        mean = (weights.unsqueeze(-1) * self.vectors[classes]).sum(dim=1)
        return nn.functional.normalize(mean, dim=1)


@builder("conse")
def conse(network: nn.Module, classes: int, dim: int, top: int = TOP) -> ConSE:
    """A `ConSE` without its vectors."""
    return ConSE(network, torch.zeros(classes, dim), top)


class LiteClip(TwoTowerEncoder):
    """The two towers, with the ImageNet classes between them.

    Attributes
    ----------
    classifier : Encoder
        Pictures to ImageNet probabilities, 1,000 features.
    vectors : Tensor (1000, d)
        The text vector of each ImageNet class.
    """

    classifier: Encoder
    vectors: Tensor

    def class_probabilities(self, images: Domain, *, cache: Cache = True) -> FloatArray:
        """Probabilities of the 1,000 ImageNet classes, (n, 1000), in the order of `imagenet_space`."""
        return self.classifier.encode(images, cache=cache).x

    def imagenet_space(self) -> ClassSpace:
        """The 1,000 ImageNet classes with names, definitions and text vectors."""
        return imagenet_classes().replace(embeddings=self.vectors.numpy())


def imagenet_classes() -> ClassSpace:
    """Names and definitions (WordNet's) of the 1,000 ImageNet classes, as timm ships them.

    A class is called by its first word, or by all its words or its WordNet number where that is taken. They are kept
    beside the features, as timm takes longer to import than a picture to classify.
    """
    kept = cache_root() / f"imagenet-classes-timm-{importlib.metadata.version('timm')}.json"
    try:
        names, definitions = map(tuple, read_json(kept))
    except (OSError, TypeError, ValueError):  # not there yet, or damaged
        names, definitions = _as_timm_has_them()
        with contextlib.suppress(OSError), written(kept) as temporary:
            temporary.write_text(json.dumps([names, definitions]), encoding="utf-8")
    return ClassSpace(names=names, descriptions=definitions)


def _as_timm_has_them() -> tuple[tuple[str, ...], tuple[str, ...]]:
    from timm.data import ImageNetInfo

    info = ImageNetInfo()
    words = info.label_descriptions()
    first = [text.split(",")[0] for text in words]
    often, often_first = Counter(words), Counter(first)
    names = (
        short if often_first[short] == 1 else long if often[long] == 1 else f"{short} ({number})"
        for short, long, number in zip(first, words, info.label_names())
    )
    return tuple(names), tuple(info.label_descriptions(detailed=True))


def build_lite_clip(request: Request) -> LiteClip:
    """Join EfficientNet-Lite0 and MiniLM; the vectors of the ImageNet classes are computed once and kept.

    Pictures are read in float32 unless bfloat16 is asked for: what that rounds off puts other classes among the
    likeliest ten, which moved probabilities by up to .16 from those of an exported file.
    """
    inside: dict[str, Path | None] = {
        part: None if request.folder is None else request.folder / part for part in ("image", "text")
    }
    text = build_minilm(Request(name="minilm", precision=request.precision, folder=inside["text"]))
    network = lean_lite0(inside["image"])
    texts = [name_and_description(*pair) for pair in zip(*_names_and_definitions())]
    vectors = torch.from_numpy(text.encode(Domain(x=texts, kind="text", name="ImageNet classes"), precision="fp32").x)
    preprocess = with_options(LITE0_PREPROCESS, request.options)
    exact: Precision = "fp32" if request.precision == "auto" and has_bfloat16() else request.precision
    save = partial(save_state, network)
    classifier = Encoder(
        name=f"{request.name}/probabilities",
        module=partial(_classifier, inside["image"]),
        runs=Probabilities(network),
        preprocess=preprocess,
        precision=exact,
        save=save,
    )
    made_of = [classifier.fingerprint, text.fingerprint, str(TOP), *texts]
    image = Encoder(
        name=request.name,
        module=partial(_conse, inside["image"], vectors),
        runs=ConSE(network, vectors),
        preprocess=preprocess,
        precision=exact,
        identity=hashlib.sha256("\n".join(made_of).encode()).hexdigest(),
        save=save,
    )
    image.dim = vectors.shape[1]
    towers: dict[str, Any] = {"image": image, "text": text}
    encoder = LiteClip(name=request.name, logit_scale=LOGIT_SCALE, template=name_and_description, **towers)
    encoder.classifier, encoder.vectors = classifier, vectors
    return encoder


def _classifier(folder: Path | None) -> Probabilities:
    return Probabilities(lite0_network(folder))


def _conse(folder: Path | None, vectors: Tensor) -> ConSE:
    return ConSE(lite0_network(folder), vectors)


def _names_and_definitions() -> tuple[tuple[str, ...], tuple[str, ...]]:
    classes = imagenet_classes()
    assert classes.descriptions is not None
    return classes.names, classes.descriptions
