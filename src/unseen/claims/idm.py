"""IDM's claims: cut-outs on photographs, by another hand and in another light, adapted to from one picture.

The shift is a declared simulation: emoji of one vendor on photographs as they are, to those of another vendor on other
photographs in a light of `unseen.data.simulate.collages`; masks are the alpha channel, so they are exact.
"""

from __future__ import annotations

import functools
import importlib.resources
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from unseen.claims import worlds
from unseen.claims.arms import timed
from unseen.claims.base import Claim, Experiment, Result, seeds
from unseen.claims.conditions import at_most, beats_all, better, not_worse
from unseen.claims.ledger import effect, mechanism, not_testable, paper_scale, promised
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.images import open_header
from unseen.data.simulate.collages import collages
from unseen.data.sources.cutouts import emoji_cutouts
from unseen.evaluation.tasks import grades_of
from unseen.methods.adaptation.idm import IDM
from unseen.methods.base import Method
from unseen.methods.baselines.classmix import ClassMix
from unseen.methods.baselines.fda import FDA
from unseen.methods.baselines.tent import TENT
from unseen.nn.informative import InformativeSelector, uncertainty
from unseen.nn.pixel_mix import patch_mix
from unseen.nn.segmenters import n_outputs, small_unet, train_segmenter
from unseen.nn.style import match_statistics
from unseen.runtime import reproducible, without_checkpoints

SOURCE = {"development": "noto", "confirmation": "noto-v1"}
"""Whose drawings are labelled."""
PHOTOS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "development": (
        ("coffee.png", "chelsea.png", "brick.png", "china"),
        ("motorcycle_left.png", "grass.png", "rocket.jpg"),
    ),
    "confirmation": (
        ("astronaut.png", "hubble_deep_field.jpg", "gravel.png", "flower"),
        ("grace_hopper.jpg", "coins.png", "ihc.png", "camera.png"),
    ),
}
"""Backgrounds of the source, and of the target: scikit-image's, scikit-learn's and matplotlib's photographs."""
N_SOURCE, N_TARGET, N_TEST = 1000, 60, 100
TRAINING = 500
"""Steps of 16 pictures on the source."""
STEPS = 64
"""Steps of 8 pictures of every arm that trains; IDM looks at as many pictures and trains on fewer."""
RATE, MOMENTUM = 1e-3, 0.97
"""Of every arm that trains, and of every teacher."""
SIMPLE = tuple(f"{arm}, one picture" for arm in ("BatchNorm", "TENT", "FDA", "colours", "ClassMix"))
"""What else can be done with one picture."""


# -- data --------------------------------------------------------------------------------------------------


@functools.cache
def photograph(name: str) -> NDArray[np.uint8]:
    """A photograph that a package ships, (h, w, 3)."""
    if name in ("china", "flower"):
        return np.asarray(worlds.photos().x[("china", "flower").index(name)])
    package, place = ("matplotlib", "mpl-data/sample_data") if name == "grace_hopper.jpg" else ("skimage", "data")
    file = importlib.resources.files(package) / place / name
    return np.asarray(open_header(file.read_bytes()).convert("RGB"))


def pictures(vendor: str, names: Sequence[str], n: int, seed: int, light: str = "plain") -> Domain:
    """Collages of a vendor's cut-outs on photographs in a light."""
    return collages(
        emoji_cutouts(vendor),
        [photograph(name) for name in names],
        n,
        things=(1, 2),
        sizes=(0.45, 0.85),
        light=light,
        random_state=seed,
        name=f"{vendor}, {light}",
    )


@functools.cache
def known(split: str, seed: int) -> Domain:
    """The labelled source of a split."""
    return pictures(SOURCE[split], PHOTOS[split][0], N_SOURCE, seed)


@functools.cache
def trained(split: str, seed: int) -> tuple[nn.Module, float]:
    """A network trained on the source until it gains no more, and the seconds that took."""
    with reproducible(seed), without_checkpoints():
        return timed(lambda: train_segmenter(small_unet(5), known(split, seed), steps=TRAINING))


def world(case: str, seed: int) -> tuple[str, Domain, Domain, Domain]:
    """Split, source, pictures of the target, and others to be tested on; a case is `SPLIT/VENDOR/LIGHT`."""
    split, vendor, light = case.split("/")
    target, test = (
        pictures(vendor, PHOTOS[split][1], n, seed + offset, light) for n, offset in ((N_TARGET, 1000), (N_TEST, 2000))
    )
    return split, known(split, seed), target, test


DATA_ARE_DRAWN = "`fingerprinted` has collages of both domains, by the function that draws those of a cell"


def fingerprinted(case: str) -> list[Domain]:
    """Some pictures of both domains, for the stamp."""
    split, vendor, light = case.split("/")
    return [pictures(SOURCE[split], PHOTOS[split][0], 4, 0), pictures(vendor, PHOTOS[split][1], 4, 1000, light)]


# -- arms --------------------------------------------------------------------------------------------------


def idm(seed: int, **changes: Any) -> IDM:
    """IDM that looks at as many pictures as other arms train on."""
    common: dict[str, Any] = {"learning_rate": RATE, "teacher_momentum": MOMENTUM, "random_state": seed}
    return IDM(**(common | {"candidates": 8 * STEPS} | changes))


def plain(seed: int, **changes: Any) -> IDM:
    """IDM without selection, mixing and information."""
    return idm(seed, quantile=0.0, lambda_mix=0.0, lambda_im=0.0, **changes)


def adapted(method: Method, network: nn.Module, source: Domain, target: Domain) -> tuple[Method, float]:
    """A method fitted on what it needs, and the seconds that took."""
    inputs: dict[str, Any] = {"target": target, "model": network}
    if not isinstance(method, TENT):
        inputs["source"] = source
    with without_checkpoints():
        return timed(lambda: method.fit(**inputs))


def graded(predict: Any, domain: Domain) -> dict[str, float]:
    """mIoU, accuracy of pixels and the F measure of borders."""
    figures = grades_of("mask").grade(domain.labels, predict(domain), domain.classes)
    return {key: value for key, value in figures.items() if not key.startswith("IoU, ")}


def run(case: str, seed: int) -> Result:
    """Every arm on one target, adapted to its first picture, or to sixty of them."""
    split, source, target, test = world(case, seed)
    network, seconds = trained(split, seed)
    first = target.take(slice(0, 1))
    common: dict[str, Any] = {"steps": STEPS, "learning_rate": RATE, "random_state": seed}
    arms: dict[str, tuple[Method, Domain]] = {
        "source, as many steps more": (plain(seed, space="none", mix_features=False, measure_first=False), first),
        "BatchNorm, one picture": (TENT(steps=0).set_params(random_state=seed), first),
        "BatchNorm, sixty pictures": (TENT(steps=0).set_params(random_state=seed), target),
        "TENT, one picture": (TENT().set_params(random_state=seed), first),
        "FDA, one picture": (FDA(**common), first),
        "colours, one picture": (FDA(space="rgb", **common), first),
        "style alone": (plain(seed), first),
        "ClassMix, one picture": (ClassMix(teacher_momentum=MOMENTUM, **common), first),
        "ClassMix, sixty pictures": (ClassMix(teacher_momentum=MOMENTUM, **common), target),
        "idm": (idm(seed), first),
        "all samples": (idm(seed, quantile=0.0), first),
        "as many at random": (idm(seed, quantile=0.0, candidates=4 * STEPS), first),
        "no mixing": (idm(seed, lambda_mix=0.0), first),
        "no prototypes": (idm(seed, lambda_im=0.0), first),
        "nothing measured first": (idm(seed, measure_first=False), first),
    }
    before = Adapted(network)
    table: Result = {"source only": graded(before.predict, test)}
    table["source only"]["own style"] = graded(before.predict, known_test(split, seed))["mIoU"]
    for arm, (method, shots) in arms.items():
        fitted, took = adapted(method, network, source, shots)
        table[arm] = graded(fitted.predict, test) | {"seconds": took}
        if arm in ("idm", "ClassMix, one picture"):
            table[arm]["own style"] = graded(fitted.predict, known_test(split, seed))["mIoU"]
            table[arm]["too good on its picture"] = graded(fitted.predict, first)["mIoU"] - table[arm]["mIoU"]
        if isinstance(fitted, IDM):
            table[arm]["steps"] = float(fitted.log_["steps"])
    table["idm"]["share of steps"] = table["idm"]["steps"] / table["all samples"]["steps"]
    table["source training"] = {"seconds": seconds}
    return table


def run_style(case: str, seed: int) -> Result:
    """Three arms where the light is the same."""
    split, source, target, test = world(case, seed)
    network, _ = trained(split, seed)
    first = target.take(slice(0, 1))
    table: Result = {"source only": graded(Adapted(network).predict, test)}
    common: dict[str, Any] = {"steps": STEPS, "learning_rate": RATE, "random_state": seed}
    for arm, method in (("idm", idm(seed)), ("FDA, one picture", FDA(**common))):
        table[arm] = graded(adapted(method, network, source, first)[0].predict, test)
    return table


@functools.cache
def known_test(split: str, seed: int) -> Domain:
    """Other pictures as the source has them."""
    return pictures(SOURCE[split], PHOTOS[split][0], N_TEST, seed + 3000)


class Adapted:
    """A network that gives masks as methods do."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network.eval()
        self.classes = n_outputs(network)

    @torch.no_grad()
    def predict(self, domain: Domain) -> NDArray[Any]:
        """The class of every pixel, (n, h, w)."""
        return self.network(torch.as_tensor(domain.x)).argmax(dim=1).numpy()


AT_SCALE = (
    "GTA5, SYNTHIA and Cityscapes are not at hand. With them: unseen segment GTA5 --target CITY.png --network "
    "deeplabv3_resnet101 --size 1024 --crop 512 --train-steps 40000 --out runs/idm, then --model runs/idm on the val "
    "folder of Cityscapes, whose masks grade; not run."
)


def behaviour() -> dict[str, Any]:
    """Collages, looks of one given to others in each space, patches mixed, and what is selected of scores."""
    rng = np.random.default_rng(0)
    cut = Domain(x=rng.integers(0, 256, (6, 4, 16, 16), dtype=np.uint8), y=np.arange(6) % 3, kind="image",
                 classes=ClassSpace(names=("a", "b", "c")))  # fmt: skip
    scenes = collages(cut, [rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)], 4, side=32, light="dusk")
    x, y = torch.as_tensor(scenes.x), torch.as_tensor(np.stack(list(scenes.labels)).astype(np.int64))
    looks = {space: match_statistics(x, x[0].flip(-1) * 0.5, space, window=0.1) for space in ("lab", "rgb", "fourier")}
    mixed = patch_mix(x, y, x.flip(0), y.flip(0), torch.ones(y.shape), 4, torch.Generator().manual_seed(0))
    scores = uncertainty(
        torch.randn(200, 3, 4, 4, generator=torch.Generator().manual_seed(1)), y[:1, :4, :4].expand(200, 4, 4)
    )
    return {
        "collages": scenes.x,
        "masks": y.numpy(),
        **looks,
        "mixed": mixed[0],
        "selected": InformativeSelector()(scores),
    }


# fmt: off
LEDGER = (
    not_testable("Domain adaptation carries segmentation networks from labelled to unlabeled data, and is popular.",
        "It is about the state of the field in 2023."),
    effect("lights", better("idm", "source training", "seconds", by=0.0, lower=True),
        "Adapting to a changed look takes less time than training anew."),
    not_testable("One unlabeled picture of the target is all that is needed of it.",
        "No figure could fail: `fit` is given one. A test counts what is read."),
    not_testable("No network for style is trained: the adapted network has the weights of the given one and no more.",
        "No figure could fail: it is a copy of the given one."),
    mechanism("lights", at_most("idm", "share of steps", 0.6),
        "Selection by uncertainty cuts training: at most six tenths of the steps that all samples take."),
    effect("lights", not_worse("idm", "all samples", "mIoU", within=0.01),
        "What selection leaves out is redundant: at most one point of mIoU is lost to training on all samples."),
    effect("lights", better("idm", "as many at random", "mIoU"),
        "Selected samples are the informative ones: better than as many steps on samples drawn at random."),
    effect("lights", better("idm", "no mixing", "mIoU"),
        "Patch-wise mixing with the picture of the target adds to the rest."),
    effect("lights", better("idm", "no prototypes", "mIoU"),
        "Information maximisation by prototypes adds to the rest."),
    effect("lights", better("idm", "style alone", "mIoU"),
        "Selection, mixing and prototypes together, in about half of the steps, beat the same style on all samples."),
    effect("lights", better("idm", "nothing measured first", "mIoU"),
        "BatchNorm statistics of the one picture are a better start than those of the source (ours, not the paper's)."),
    promised("lights", better("idm", "source only", "mIoU", by=0.05),
        "Adaptation from one picture is worth more than five points of mIoU over the network as it was."),
    effect("lights", better("idm", "source, as many steps more", "mIoU", by=0.05),
        "It is worth more than five points over training on the source as many steps more."),
    effect("lights", better("idm", "ClassMix, one picture", "too good on its picture", lower=True),
        "It overfits the one picture less than self-training does: the picture itself is graded less above others."),
    effect("lights", better("idm", "FDA, one picture", "mIoU", by=0.02),
        "It is more than two points better than Fourier adaptation with the same picture and about twice the steps."),
    effect("lights", beats_all("idm", SIMPLE, "mIoU"),
        "It is better than the best of five ways to use one picture, which may be another one for each target."),
    effect("lights", better("idm", "ClassMix, sixty pictures", "mIoU"),
        "It is better from one picture than self-training from sixty."),
    effect("lights", better("idm", "BatchNorm, sixty pictures", "mIoU"),
        "It is better from one picture than BatchNorm statistics of sixty."),
    effect("lights", not_worse("idm", "source only", "own style", within=0.05),
        "Pictures of the source's own look lose at most five points."),
    effect("style", better("idm", "source only", "mIoU"),
        "Also where the light is the same and only the hand that drew is another, one picture helps."),
    paper_scale("56.7 mIoU from GTA5 to Cityscapes from one picture.", AT_SCALE),
    paper_scale("55.4 mIoU from SYNTHIA to Cityscapes from one picture.", AT_SCALE),
    not_testable("The code will be released.", "It was not found at the address that the abstract names."),
)

claim = Claim(
    slug="idm",
    ledger=LEDGER,
    behaviour=behaviour,
    experiments={
        "lights": Experiment(
            run=run, data=fingerprinted, drawn=DATA_ARE_DRAWN, clocks=("seconds",), unit="vendor and light",
            nothing="source only",
            **seeds(1),
            development=("development/openmoji/dusk", "development/twemoji/haze"),
            confirmation=(
                "confirmation/fluent-emoji/overcast", "confirmation/emojione-v1/lamp",
                "confirmation/emojione-v1/under water")),
        "style": Experiment(
            run=run_style, data=fingerprinted, drawn=DATA_ARE_DRAWN, unit="vendor", nothing="source only",
            **seeds(1),
            development=("development/openmoji/plain",), confirmation=("confirmation/fluent-emoji/plain",)),
    },
    licences=(worlds.EMOJI, worlds.PHOTOS, "Photos: scikit-image's and matplotlib's samples, public domain and CC0"),
)
# fmt: on
