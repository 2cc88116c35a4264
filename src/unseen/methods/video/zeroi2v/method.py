"""ZeroI2V: a frozen image transformer that learns to read videos, and costs no more than it did."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn

from unseen.data.augment import random_resized_crop
from unseen.data.clip_augment import erased, mirror_classes, mirrored
from unseen.data.domain import Domain
from unseen.data.rand_augment import rand_augment
from unseen.data.samplers import Batch, steps
from unseen.data.segments import clip_batches, over_views, places, views_of
from unseen.methods.base import Card, Method, NotFittedError
from unseen.methods.parameters import Count, Natural, NonNegative, Positive, Unit, Within
from unseen.methods.verbs import gives
from unseen.methods.video.needs import FrameTransformer, image_transformer, seconds_on_frames
from unseen.methods.video.zeroi2v.network import Adapted, Cost, Pooling, Shifted, VideoTransformer, video_transformer
from unseen.nn.schedules import by_decay, warm_cosine
from unseen.nn.train import Run, train

AT_ONCE = 16
"""Clips that are predicted together."""
SHARE = 0.5
"""Chance of each operation of RandAugment, as the released code's library has it."""


class ZeroI2V(Method):
    """Turn a frozen image transformer into one that recognizes videos, at no cost once it is merged [1].

    Logits are those of a line on the mean over frames of norm(class token). In every layer x + A(attention(A(norm(x))))
    and x + A(mlp(A(norm(x)))): the first heads take keys and values of the frames before and behind, and
    A(x) = x + s (W2 (W1 x + b1) + b2) are linear. Adapters, an embedding of the frame's place, the last norm and the
    line learn; `merge` writes the adapters into the projections beside them, exactly.

    Parameters
    ----------
    frames : int, >= 1
        T: one frame of each of so many equal parts of a clip; anywhere in it in training, its middle in prediction.
        A fitted method may be set to another number.
    offsets : tuple of int
        Which frame the first heads of a layer look at, one entry a head: -1 is the frame before, 1 the next. The other
        heads, and frames that have no such neighbour, look at their own.
    shift : {"kv", "k", "v", "input"}
        What comes from there: keys and values, one of them, or what queries, keys and values are made of.
    adapters : {"all", "attn-in", "attn-out", "mlp", "none"}
        Where they are.
    linear : bool
        Without it adapters have a GELU, and cannot be merged.
    shared : bool
        Whether queries, keys and values are read through one adapter, else through one each.
    temporal : bool
        Whether frames have an embedding of their place.
    pool : {"mean", "attention"}
        Whether frames count alike, or by a learnt query.
    frozen : bool
        Whether the image transformer stays as it is; without it all of it learns, which the paper compares with.
    reduction : int, >= 1
        How many times as wide as an adapter's inside the transformer is.
    scale : float, > 0
        s.
    dropout, head_dropout : float in [0, 1)
        Inside the adapters, and before the line.
    label_smoothing : float in [0, 1]
        Share of a target that is spread over all classes.
    operations, magnitude : int
        Of RandAugment, the same in all frames of a clip: how many, each done with a chance of a half, and how strong,
        of 10. 0 operations leave it out.
    smallest : float in (0, 1]
        Least share of the area that a crop has.
    flip : float in [0, 1]
        Chance of a clip to be mirrored. A class whose name says left becomes that which says right for it, and is not
        mirrored where there is none; 0 where directions are named otherwise.
    erase : float in [0, 1]
        Chance of a clip to lose a box.
    learning_rate : float, > 0
    weight_decay : float, >= 0
        Of matrices.
    epochs : int, >= 1
    warm_up : float, >= 0
        Passes over the clips in which the rate rises from a tenth, before it falls to 0 by a cosine.
    batch_size : int, >= 1
        Clips in a step.
    views, crops : int, >= 1
        Times and places that a clip is looked at in prediction; probabilities are averaged.

    Attributes
    ----------
    network_ : VideoTransformer
        `network_.tower` is an image transformer; given as `model`, the network learns on, merged and with new adapters.
    history_ : dict of arrays
        `loss` of each epoch.

    References
    ----------
    [1] Li, Zhu, Wang, "ZeroI2V: Zero-Cost Adaptation of Pre-trained Transformers from Image to Video", ECCV 2024.
    """

    card = Card(
        slug="zeroi2v",
        cost=400.0,
        title="ZeroI2V: Zero-Cost Adaptation of Pre-trained Transformers from Image to Video",
        venue="ECCV 2024",
        official_code="leexinhao/ZeroI2V",
        summary="Teach a frozen image transformer to read videos, at no cost in inference.",
        unseen={"modalities"},
        modalities={"clip"},
        protocols={"closed"},
        presets={
            "default": {},
            "motion": {
                "frames": 16,
                "offsets": (-1, 1, -2, 2),
                "scale": 1.0,
                "dropout": 0.0,
                "label_smoothing": 0.1,
                "epochs": 50,
                "erase": 0.25,
                "crops": 3,
            },
            "few-shot": {"batch_size": 16, "epochs": 100},
            "small": {
                "epochs": 10,
                "batch_size": 16,
                "learning_rate": 5e-3,
                "scale": 1.0,
                "dropout": 0.0,
                "head_dropout": 0.1,
                "operations": 0,
                "smallest": 0.8,
                "flip": 0.0,
            },
        },
        at_prediction={"views", "crops"},
        on_request={"motion", "few-shot", "small"},
        smoke={"frames": 4, "epochs": 2, "warm_up": 0.0, "batch_size": 30, "learning_rate": 1e-2, "operations": 1},
        needs=(FrameTransformer(),),
        parts=(
            "unseen.methods.video.zeroi2v.network.VideoTransformer",
            "unseen.data.segments.segment_index",
            "unseen.data.clip_augment.mirror_classes",
            "unseen.data.rand_augment.rand_augment",
            "unseen.encoders.vit_towers.of_timm",
        ),
        left_out=(
            "Kinetics-400, Something-Something, HMDB-51 and UCF-101 with CLIP's ViT-B/16 and ViT-L/14: none is here. "
            "`fit` reads their folders by `unseen.data.loaders.load`, CLIP's tower by `prunable_towers` or "
            "`of_transformers_clip`.",
            "Frames in steps of 8 or 16 from one place, three of which are looked at (Kinetics-400): frames are one of "
            "each equal part of a clip, whatever the data; `views` looks at other frames of the parts.",
        ),
        notes=(
            "The projection of the image transformer is not used; it stays where it is, so that the merged state dict "
            "loads into the transformer that was given, and counts on both sides.",
            "Offsets are said head by head, where the released code says shares of the channels: with 12 heads and a "
            "divisor of 12 they are the same.",
            'shift="input" moves what the adapter reads, not what it gives: only so can that adapter be merged.',
            "Adapters a quarter as wide are about 16 % of a transformer's weights: that is what learns, not a tenth.",
            "No bias decays; in the released code those of adapters do.",
            "RandAugment stretches each clip to bytes by its own range, and comes after the crop; strengths are not "
            "drawn around the one that is said. A box that is erased takes the mean colour of its clip.",
            "A mean over frames of what each says by itself sees neither order nor, where things start anywhere, if "
            "they move sideways or up and down: that takes the spread over time, or heads that look along it.",
            "Confirmed on three vendors of emoji in ten motions (64 clips of each, a transformer of two layers, 400 "
            "steps): a motion is told from its reverse in .85 of the cases, in .81 by the embedding of frames without "
            "heads that look along time, in .50 without both; among ten it is right in .63. Logistic regression on all "
            "frozen frames beside each other has .89 and .77: try it first.",
        ),
    )

    frames: Count = 8
    offsets: tuple[int, ...] = (-1, 1)
    shift: Shifted = "kv"
    adapters: Adapted = "all"
    linear: bool = True
    shared: bool = True
    temporal: bool = True
    pool: Pooling = "mean"
    frozen: bool = True
    reduction: Count = 4
    scale: Positive = 0.5
    dropout: Annotated[float, Within(0, 1, open_high=True)] = 0.1
    head_dropout: Annotated[float, Within(0, 1, open_high=True)] = 0.5
    label_smoothing: Unit = 0.0
    operations: Natural = 4
    magnitude: Annotated[int, Within(0, 10)] = 7
    smallest: Annotated[float, Within(0, 1, open_low=True)] = 0.08
    flip: Unit = 0.5
    erase: Unit = 0.0
    learning_rate: Positive = 3e-4
    weight_decay: NonNegative = 0.05
    epochs: Count = 40
    warm_up: NonNegative = 2.5
    batch_size: Count = 64
    views: Count = 1
    crops: Count = 1

    network_: nn.Module = dataclasses.field(init=False)

    def fit(self, *, source: Domain, model: nn.Module) -> Self:
        """Learn from labelled clips, many of them or a handful of each class.

        Parameters
        ----------
        source : Domain
            Clips as networks take them (`unseen.data.segments.ready`), of at least the size of the model's pictures.
        model : Module
            A `VisionTower`, two towers with one (`unseen.encoders.vit_towers`, `unseen.encoders.prunable`), or the
            `network_` of a fitted ZeroI2V; a copy learns.
        """
        names = () if source.classes is None else source.classes.names
        classes = len(names) or int(source.labels.max()) + 1
        network = self._begin(model, classes)
        per_epoch = steps(len(source), self.batch_size)
        adam = torch.optim.AdamW(
            by_decay(network, rest=("temporal", "positions")), lr=self.learning_rate, weight_decay=self.weight_decay
        )
        warm, total = min(round(self.warm_up * per_epoch), self.epochs * per_epoch - 1), self.epochs * per_epoch
        run = train(
            self._objective(network, mirror_classes(names) if names else torch.arange(classes)),
            name="zeroi2v",
            nets={"zeroi2v": network.train()},
            optimizers={"adam": adam},
            schedulers={"rate": warm_cosine(adam, total, warm, start=self.learning_rate / 10)},
            batches=clip_batches(source, self.batch_size, self.frames, augment=self._view(network)),
            epochs=self.epochs,
            steps_per_epoch=per_epoch,
        )
        self.history_: dict[str, NDArray[Any]] = {"loss": np.array([epoch["loss"] for epoch in run.history])}
        self.network_ = network.eval().cpu()
        return self

    def expected_seconds(self, words: Mapping[str, Any]) -> float | None:
        """Of the transformer: forward, and backward to the adapters; to its weights as well if they learn."""
        return seconds_on_frames(words, self.frames, self.epochs, self.batch_size, 2 if self.frozen else 3)

    def _begin(self, model: nn.Module, classes: int) -> VideoTransformer:
        """The network on a copy of what is given, to be trained."""
        start = model.merged() if isinstance(model, VideoTransformer) else None
        tower = image_transformer(start or model)
        if tower is None:
            raise TypeError(
                "model must be a vision transformer, or two towers with one, as unseen.encoders.vit_towers and "
                f"unseen.encoders.prunable make them; got {type(model).__name__}"
            )
        network: VideoTransformer = video_transformer(
            tower, classes, self.frames, self.offsets, self.shift, self.adapters, self.temporal, self.pool,
            self.linear, self.shared, self.frozen, self.reduction, self.scale, self.dropout, self.head_dropout,
        )  # fmt: skip
        if start is None:
            return network
        if (start.offsets, start.shift) != (network.offsets, network.shift):
            raise ValueError(
                f"model was made with offsets {start.offsets} of {start.shift}; offsets is {self.offsets}, shift is "
                f"{self.shift!r}"
            )
        if start.temporal is not None and network.temporal is not None:
            network.temporal.data.copy_(start.times(self.frames))
        if start.query is not None and network.query is not None:
            network.query.data.copy_(start.query)
        return network

    def _view(self, network: VideoTransformer) -> Callable[[Tensor, torch.Generator], Tensor]:
        def view(x: Tensor, generator: torch.Generator) -> Tensor:
            if self.smallest < 1:
                whole = x.flatten(1, 2)
                cut = random_resized_crop(whole, generator, (self.smallest, 1.0), size=network.size)
                x = cut.view(*x.shape[:3], *network.size)
            else:
                x = places(x, network.size, 1)[0]
            if self.operations:
                x = rand_augment(x, generator, self.operations, 3 * self.magnitude, SHARE)  # of 30 there
            return erased(x, generator, self.erase) if self.erase else x

        return view

    def _objective(self, network: VideoTransformer, in_mirror: Int[Tensor, " k"]) -> Callable[[Batch, Run], Tensor]:
        def objective(batch: Batch, run: Run) -> Tensor:
            assert batch.y is not None
            x, y = mirrored(batch.x, batch.y, in_mirror, run.generator, self.flip)
            loss = F.cross_entropy(network(x), y, label_smoothing=self.label_smoothing)
            run.log(loss=loss)
            return loss

        return objective

    # -- merging -------------------------------------------------------------------------------------------

    def merge(self) -> Self:
        """A copy that predicts the same at the cost of the image transformer; one that is merged is only copied.

        `network_.tower` is then all that was learnt of the layers, and `network_.offsets` the shift: a configuration.

        Raises
        ------
        ValueError
            If its adapters have a GELU (linear=False).
        """
        method = copy.copy(self)
        method.network_ = self._network.merged()
        return method

    def network(self) -> nn.Module:
        """What `decision_function` computes of clips (b, T, 3, h, w): merged where adapters are linear."""
        network = self._network
        return network.merged() if network.linear else copy.deepcopy(network)

    def report(self) -> Cost:
        """Parameters, and operations of a clip of `frames` frames: of the image transformer, with adapters, merged."""
        return self._network.cost(self.frames)

    @property
    def _network(self) -> VideoTransformer:
        network = vars(self).get("network_")
        if not isinstance(network, VideoTransformer):
            raise NotFittedError("this ZeroI2V has not been fitted; call fit first")
        return network

    # -- asking --------------------------------------------------------------------------------------------

    @gives("scores", reads="clips")
    def decision_function(self, x: Any) -> Float[Tensor, "n k"]:
        """Scores of the classes, (n, k); of several views the logarithms of the mean probabilities."""
        return torch.cat([over_views([self._network(seen) for seen in part]) for part in self._seen(x)])

    @gives("probabilities", reads="clips")
    def predict_proba(self, x: Any) -> Float[Tensor, "n k"]:
        """Probabilities of the classes, (n, k)."""
        return torch.softmax(self.decision_function(x), dim=1)

    @gives("classes", reads="clips")
    def predict(self, x: Any) -> NDArray[np.int64]:
        """Index of the likeliest class, (n,)."""
        return self.decision_function(x).argmax(dim=1).numpy()

    @gives("scores of frames", reads="clips")
    def frame_scores(self, x: Any) -> Float[Tensor, "n t k"]:
        """What each frame adds to the scores, (n, T, k); with pool="mean" their mean is that of `decision_function`."""
        network = self._network
        return torch.cat([network.head(network.embed(next(iter(part)))) for part in self._seen(x)])

    def _seen(self, x: Domain) -> Any:
        """Parts of the clips, each at all its times and places."""
        size = self._network.size
        for start in range(0, len(x), AT_ONCE):
            yield views_of(x, slice(start, start + AT_ONCE), self.frames, size, self.views, self.crops)
