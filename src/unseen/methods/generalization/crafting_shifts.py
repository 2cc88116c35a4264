"""Crafting Shifts: a classifier for domains that nobody has seen, from the pictures of one, and how to choose it."""

import dataclasses
from typing import Annotated, Literal, NamedTuple, Self

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn

from unseen.data.augment import random_flip, random_resized_crop
from unseen.data.domain import Domain
from unseen.data.samplers import Batch, batches, steps, tensor
from unseen.data.shifts import FAMILIES, FOLDS, check_families, craft, edge_map
from unseen.data.shifts.bank import SMALLEST
from unseen.data.shifts.edges import SIGMAS, grey
from unseen.methods.base import Card, Method
from unseen.methods.parameters import Count, NonNegative, Positive, Unit, Within
from unseen.nn.classifier import Classifier, as_classifier
from unseen.nn.convnet import small_convnet
from unseen.nn.schedules import exponential_decay
from unseen.nn.train import Run, train
from unseen.validation import CraftedScore, crafted_copies, crafted_validation, middle_of_the_best

MIXES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""The paper's inference family: the edge view alone, three mixes, and the picture alone."""
HELD_OUT = 5
"""One in so many samples of each class is kept from training where `mix` is chosen."""
CHUNK = 256


class CraftingShifts(Method):
    """Train on pictures, on their crafted copies and on edge maps of both, with one network for all [1].

    The user has labelled pictures of one domain and no sample of where the model will be used. Each training picture
    is the original or one of its fixed copies, changed in one of ten families; beside it stands its edge map, which
    has shape and no texture. One backbone and one linear head read both, in one batch. Predictions mix both views.

    Which settings to use, only other changes than those in training can tell: `unseen.validation.kfold_select` trains
    with half of the families and scores on the other half. `mix=None` chooses the mix of the views like that, at the
    cost of two more trainings.

    Parameters
    ----------
    families : tuple of str
        Families of copies in training; all ten, or any of `unseen.data.shifts.FAMILIES`, or none.
    strength : float, >= 0
        Of the copies; 1 is the paper's.
    views : {"both", "rgb", "edge"}
        What the network is trained on and predicts from.
    edge_mode : {"per-image", "reference"}
        How training edge maps vary: as the paper says, or as the authors' code does; see `edge_map`.
    loss_weight_edge : float in [0, 1]
        w in L = (sum CE(l_rgb) + w sum CE(l_edge)) / 2B.
    mix : float in [0, 1], optional
        a in p_rgb^a p_edge^(1 - a); chosen of 0, 0.25, 0.5, 0.75 and 1 by crafted validation if None.
    geometry : {"crop+flip", "crop", "same"}
        Random crop of 0.8 to 1 of the area, and mirroring, with the same random numbers for both views.
    width : int, >= 1
        Channels of the first layer of the small network that is used where no model is given.
    epochs, batch_size : int
    learning_rate : float, > 0
        It falls to a hundredth over the training.

    Attributes
    ----------
    network_ : Module
        The classifier, from pictures or edge maps in the units of the source to logits.
    low_, high_ : Tensor of shape (c,)
        Black and white in these units.
    mix_ : float
        The mix that predictions use.
    mix_scores_ : dict
        V_A,cv of every mix, where it was chosen.
    loss_ : array of shape (epochs,)

    References
    ----------
    [1] Efthymiadis, Tolias, Chum, "Crafting Distribution Shifts for Validation and Training in Single Source Domain
    Generalization", WACV 2025.
    """

    card = Card(
        slug="crafting-shifts",
        cost=60.0,
        title="Crafting Distribution Shifts for Validation and Training in Single Source Domain Generalization",
        venue="WACV 2025",
        official_code="NikosEfth/crafting-shifts",
        summary="Train and choose a classifier for unseen domains on one domain, with crafted shifts and edge maps.",
        unseen={"domains"},
        modalities={"image"},
        protocols={"closed", "partial"},
        presets={
            "default": {},
            "edges": {"families": ()},
            "plain": {"families": (), "views": "rgb"},
            "paper": {"epochs": 300, "learning_rate": 0.00154},
        },
        on_request={"paper"},
        smoke={"epochs": 1, "width": 4},
        parts=(
            "unseen.data.shifts.bank.craft",
            "unseen.data.shifts.base",
            "unseen.data.shifts.arithmetic",
            "unseen.data.shifts.colors",
            "unseen.data.shifts.filters",
            "unseen.data.shifts.geometric",
            "unseen.data.shifts.scenes",
            "unseen.data.shifts.edges.edge_map",
            "unseen.data.augment.random_resized_crop",
            "unseen.nn.convnet.small_convnet",
            "unseen.validation.crafted.crafted_validation",
            "unseen.validation.crafted.kfold_select",
            "unseen.validation.crafted.select",
            "unseen.evaluation.metrics.selection.selection_table",
        ),
        notes=(
            "Members of the families are written anew after imgaug's; lengths in pixels, meant at 227, follow the size "
            "of the picture, and what lies outside repeats the border.",
            "Bilateral blur and mean shift look 4 pixels far at most, whatever the size of the picture: here they are "
            "computed place by place.",
            "Edge maps break ties of equal gradients, so that lines are one pixel wide; scikit-image keeps some twice.",
            "The noise of the threshold is relative to the range of |g|, and every picture draws its own blur; "
            "edge_mode='reference' does both as the authors' code does.",
            "Blurs of edge maps are halved for pictures of less than 32 pixels, which are enlarged below 16.",
            "Pictures come as tensors of their final size, so nothing is resized or cropped for prediction.",
            "Units are those of the source: [0, 1] or bytes where its values lie there, else black and white are the "
            "smallest and largest value of each channel.",
            "Of an even number of tied configurations the first of the two in the middle is chosen, which has the "
            "smaller learning rate and weight: the rule of the paper is the middle one, and it leaves open which.",
            "It reads pictures, not cached features: `compare`, which works on features, does not run it.",
            "The default learning rate is for the small network from scratch; preset `paper` is for pretrained ones.",
        ),
    )

    families: tuple[str, ...] = tuple(FAMILIES)
    strength: NonNegative = 1.0
    views: Literal["both", "rgb", "edge"] = "both"
    edge_mode: Literal["per-image", "reference"] = "per-image"
    loss_weight_edge: Unit = 1.0
    mix: Unit | None = 0.5
    geometry: Literal["crop+flip", "crop", "same"] = "crop+flip"
    width: Count = 16
    epochs: Count = 30
    batch_size: Annotated[int, Within(2)] = 64
    learning_rate: Positive = 0.03

    network_: Classifier = dataclasses.field(init=False)

    def _check_params(self) -> None:
        super()._check_params()
        check_families(self.families)

    def fit(self, *, source: Domain, model: nn.Module | None = None) -> Self:
        """Train a copy of `model`, or a small network, on the labelled source.

        The model reads pictures as they stand in `source`, with one output per class.
        """
        units = measure(source)
        start = self._start(source, units, model)
        if self.mix is None and self.views == "both":
            self.mix_scores_ = self._score_mixes(source, units, start)
            self.mix_ = MIXES[middle_of_the_best(list(self.mix_scores_.values()))]
        else:
            self.mix_ = {"rgb": 1.0, "edge": 0.0}.get(self.views, self.mix or 0.0)
        self.network_, self.loss_ = self._learn(source, units, start, self.families, "crafting-shifts")
        self.low_, self.high_ = units
        return self

    def _start(self, source: Domain, units: "Units", model: nn.Module | None) -> Classifier:
        """What training starts from, found to have an output for every class."""
        n_classes = len(source.classes) if source.classes is not None else int(source.labels.max()) + 1
        network = small_convnet(n_classes, len(units.low), self.width) if model is None else as_classifier(model)
        try:
            with torch.no_grad():
                outputs = network.cpu().eval()(tensor(source, slice(0, 2))).shape[1]
        except RuntimeError as error:
            raise ValueError(f"model cannot read the pictures of source: {error}") from error
        if outputs < n_classes:
            raise ValueError(f"model must have an output for each of {n_classes} classes of source; it has {outputs}")
        return network

    # -- training ------------------------------------------------------------------------------------------

    def _learn(
        self, source: Domain, units: "Units", start: Classifier, families: tuple[str, ...], name: str
    ) -> tuple[Classifier, NDArray[np.float64]]:
        """A trained copy of `start`, and its loss per epoch."""
        network = as_classifier(start).train()
        optimizer = torch.optim.SGD(network.parameters(), lr=self.learning_rate, momentum=0.9)
        one_blur = self.edge_mode == "reference"
        sigma = float(np.random.default_rng(self.random_state).choice(SIGMAS)) if one_blur else None

        def objective(batch: Batch, run: Run) -> Tensor:
            assert batch.y is not None
            x = original_or_copy(batch.x.cpu(), families, units, run.generator, self.random_state, self.strength)
            x = move(x, self.geometry, run.generator)
            shown = [x.to(run.device)] if self.views != "edge" else []
            if self.views != "rgb":
                rng = np.random.default_rng(int(torch.randint(2**31, (1,), generator=run.generator)))
                shown.append(edge_view(x, units, rng, mode=self.edge_mode, sigma=sigma).to(run.device))
            logits = network(torch.cat(shown)).chunk(len(shown))
            return two_view_loss(logits, batch.y, self.loss_weight_edge)

        per_epoch = steps(len(source), self.batch_size)
        run = train(
            objective,
            name=name,
            nets={"network": network},
            optimizers={"sgd": optimizer},
            schedulers={"decay": exponential_decay(optimizer, self.epochs, per_epoch)},
            batches=batches(source, self.batch_size),
            epochs=self.epochs,
            steps_per_epoch=per_epoch,
        )
        return network.eval().cpu(), np.array([epoch["loss"] for epoch in run.history])

    # -- choosing the mix ----------------------------------------------------------------------------------

    def _score_mixes(self, source: Domain, units: "Units", start: Classifier) -> dict[float, float]:
        """V_A,cv of every mix: the mean over ten families, each from a model that has not been trained with it."""
        kept, held = hold_out(source.labels, self.random_state)
        pictures, labels = units.to_unit(tensor(source, held)), source.labels[held]
        copies = crafted_copies(pictures, random_state=self.random_state, strength=self.strength)
        scores: dict[float, dict[str, float]] = {mix: {} for mix in MIXES}
        for i, fold in enumerate(FOLDS if self.families else (tuple(FAMILIES),)):
            others = tuple(family for family in self.families if family not in fold)
            network, _ = self._learn(source.take(kept), units, start, others, f"crafting-shifts-fold-{i}")
            p = {family: view_probabilities(network, units.from_unit(copies[family]), units) for family in fold}
            for mix, by_family in scores.items():
                predicted = {family: mixed(*p[family], mix).argmax(dim=1).numpy() for family in fold}
                scored = crafted_validation(lambda x: x, pictures, labels, fold, trained_with=others, copies=predicted)
                by_family |= scored.families
        return {mix: CraftedScore(by_family).mean for mix, by_family in scores.items()}

    # -- predicting ----------------------------------------------------------------------------------------

    def decision_function(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """Log of p_rgb^a p_edge^(1 - a), not normalized, (n, classes)."""
        units = Units(self.low_, self.high_)
        if x.ndim != 4 or x.shape[1] != len(units.low) or min(x.shape[2:]) < 2:
            raise ValueError(f"x must be pictures of shape (n, {len(units.low)}, h, w); got {tuple(x.shape)}")
        parts = [x[start : start + CHUNK] for start in range(0, len(x), CHUNK)]
        return torch.cat([log_mixed(*view_logits(self.network_, part, units, self.mix_), self.mix_) for part in parts])

    def network(self) -> nn.Module:
        """The classifier of pictures alone; where edge maps count, no network says what the method predicts."""
        if self.mix_ != 1:
            raise TypeError("a mix with edge maps cannot be written as one network; mix=1 or views='rgb' can")
        return self.network_


# -- pictures in the units of the source -------------------------------------------------------------------


class Units(NamedTuple):
    """Black and white of each channel, (c,)."""

    low: Tensor
    high: Tensor

    def to_unit(self, x: Float[Tensor, "n c h w"]) -> NDArray[np.float32]:
        """Pictures in [0, 1]; what lies outside is cut off."""
        return self.scaled(x).clamp(0, 1).numpy()

    def scaled(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Pictures with 0 for black and 1 for white; others may lie outside."""
        low, high = self.low[:, None, None], self.high[:, None, None]
        return (x - low) / (high - low)

    def from_unit(self, x: NDArray[np.float32] | Tensor) -> Float[Tensor, "n c h w"]:
        """Inverse of `to_unit`."""
        low, high = self.low[:, None, None], self.high[:, None, None]
        return low + torch.as_tensor(x) * (high - low)


def measure(source: Domain) -> Units:
    """Units of the pictures: [0, 1] or bytes if they lie there, else smallest and largest value of each channel."""
    lows, highs, whole = [], [], True
    for start in range(0, len(source), CHUNK):
        try:
            x = tensor(source, slice(start, start + CHUNK))
        except RuntimeError as error:
            raise ValueError(f"source must hold pictures of one shape: {error}") from error
        if x.ndim != 4 or x.shape[1] not in (1, 3) or min(x.shape[2:]) < SMALLEST:
            expected = f"(n, 3, h, w) or (n, 1, h, w) with sides of at least {SMALLEST}"
            raise ValueError(f"source must hold pictures of shape {expected}; got {tuple(x.shape)}")
        if not torch.isfinite(x).all():
            raise ValueError("source must be finite; a picture holds NaN or infinity")
        lows.append(x.amin(dim=(0, 2, 3)))
        highs.append(x.amax(dim=(0, 2, 3)))
        whole = whole and bool((x == x.round()).all())
    low, high = torch.stack(lows).amin(dim=0), torch.stack(highs).amax(dim=0)
    if low.min() >= 0 and high.max() <= 1:
        return Units(torch.zeros_like(low), torch.ones_like(low))
    if whole and low.min() >= 0 and high.max() <= 255:
        return Units(torch.zeros_like(low), torch.full_like(low, 255.0))
    return Units(low, torch.where(high > low, high, low + 1))


# -- the views (steps 3, 4 and 7) --------------------------------------------------------------------------


def original_or_copy(
    x: Float[Tensor, "b c h w"],
    families: tuple[str, ...],
    units: Units,
    generator: torch.Generator,
    random_state: int = 0,
    strength: float = 1.0,
) -> Float[Tensor, "b c h w"]:
    """Each picture as it is or as its copy in one of the families, uniformly drawn."""
    x = x.clone()
    drawn = torch.randint(len(families) + 1, (len(x),), generator=generator)
    for k in sorted(set(drawn.tolist())):
        if k:
            mine = drawn == k
            x[mine] = units.from_unit(craft(units.to_unit(x[mine]), families[k - 1], random_state, strength=strength))
    return x


def move(x: Float[Tensor, "b c h w"], geometry: str, generator: torch.Generator) -> Float[Tensor, "b c h w"]:
    """Random crop and flip, before the edge map is made: both views then show the same place."""
    if geometry != "same":
        x = random_resized_crop(x, generator)
    return random_flip(x, generator) if geometry == "crop+flip" else x


def edge_view(
    x: Float[Tensor, "b c h w"],
    units: Units,
    rng: np.random.Generator | None = None,
    *,
    mode: Literal["per-image", "reference"] = "per-image",
    sigma: float | None = None,
) -> Float[Tensor, "b c h w"]:
    """Edge maps of pictures, in every channel and in the units of the source; the test view without a generator."""
    lines = edge_map(grey(units.scaled(x).numpy()), rng, mode=mode, sigma=sigma)
    return units.from_unit(np.repeat(lines[:, None], x.shape[1], axis=1))


# -- the loss (steps 5 and 6) ------------------------------------------------------------------------------


def two_view_loss(logits: tuple[Tensor, ...], y: Int[Tensor, "b"], weight: float) -> Float[Tensor, ""]:
    """[sum CE(l_rgb, y) + w sum CE(l_edge, y)] / 2B; of one view alone its mean CE."""
    if len(logits) == 1:
        return F.cross_entropy(logits[0], y)
    rgb, edge = (F.cross_entropy(part, y, reduction="sum") for part in logits)
    return (rgb + weight * edge) / (2 * len(y))


# -- the inference family (step 8) -------------------------------------------------------------------------


def mixed(p_rgb: Float[Tensor, "n k"], p_edge: Float[Tensor, "n k"], a: float) -> Float[Tensor, "n k"]:
    """p_rgb^a p_edge^(1 - a), not normalized."""
    return p_rgb**a * p_edge ** (1 - a)


def log_mixed(rgb: Float[Tensor, "n k"], edge: Float[Tensor, "n k"], a: float) -> Float[Tensor, "n k"]:
    """Log of `mixed`, from logits."""
    if a in (0, 1):
        return torch.log_softmax(rgb if a else edge, dim=1)
    return a * torch.log_softmax(rgb, dim=1) + (1 - a) * torch.log_softmax(edge, dim=1)


def view_logits(
    network: nn.Module, x: Float[Tensor, "n c h w"], units: Units, mix: float = 0.5
) -> tuple[Float[Tensor, "n k"], Float[Tensor, "n k"]]:
    """Logits of both views; a view that the mix leaves out is not computed, and is the other one."""
    rgb = network(x) if mix > 0 else None
    edge = network(edge_view(x, units)) if mix < 1 else rgb
    assert edge is not None
    return (edge if rgb is None else rgb), edge


@torch.no_grad()
def view_probabilities(network: nn.Module, x: Float[Tensor, "n c h w"], units: Units) -> tuple[Tensor, Tensor]:
    """Softmax of both views, (n, k) each."""
    parts = [view_logits(network, x[start : start + CHUNK], units) for start in range(0, len(x), CHUNK)]
    rgb, edge = (torch.softmax(torch.cat(logits), dim=1) for logits in zip(*parts))
    return rgb, edge


def hold_out(labels: NDArray[np.integer], random_state: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Places of samples to train on, and of one in five of each class that has two, drawn at random."""
    order = np.random.default_rng(random_state).permutation(len(labels))
    held = []
    for label in np.unique(labels):
        mine = order[labels[order] == label]
        held.append(mine[: max(len(mine) // HELD_OUT, min(1, len(mine) - 1))])
    aside = np.sort(np.concatenate(held))
    if not len(aside):
        raise ValueError("source must hold a class with two samples, for mix=None to choose with")
    return np.setdiff1d(np.arange(len(labels)), aside), aside
