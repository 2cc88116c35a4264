"""X-CLIP: an image-text model that recognizes videos, by frames that talk and prompts that look at the video."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Self

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from unseen.data.classes import ClassSpace
from unseen.data.clip_augment import cutmix, flip, jitter, mixup, multi_scale_crop
from unseen.data.domain import Domain
from unseen.data.samplers import Batch, steps
from unseen.data.segments import clip_batches, over_views, places, stacked, views_of
from unseen.methods.base import Card, Method
from unseen.methods.parameters import Count, Natural, NonNegative, Positive, Unit, Within
from unseen.methods.verbs import gives
from unseen.methods.video.needs import FrameTowers, seconds_on_frames
from unseen.methods.video.x_clip.network import NEW, XCLIPNetwork, x_clip_network
from unseen.nn.dual_encoder import sentence
from unseen.nn.protocols import TokenizingTowers
from unseen.nn.schedules import by_rate, warm_cosine
from unseen.nn.towers import VisionTower
from unseen.nn.train import Run, train

AT_ONCE = 16
"""Clips that are predicted together."""


class XCLIP(Method):
    """Turn an image-text model into one that recognizes videos, of classes that need no more than a name [1].

    logits[b, k] = exp(s) <v_b, t_bk> of unit vectors. v comes of frames that exchange messages in every layer of the
    image tower, and of a small transformer over them; t_bk = t_k + alpha decoder(t_k, patches of b) is the name of a
    class, prompted by the video. The text tower learns nothing, so that another list of names is no training.

    Parameters
    ----------
    frames : int, >= 1
        T: one frame of each of so many equal parts of a clip; anywhere in it in training, its middle in prediction.
    cross_frame, mit, video_prompt : bool
        The three parts: messages between frames, the integration with positions (else the mean), prompts.
    text_head : bool
        Without it classes are vectors that are learnt, and no other class can be named.
    mit_layers, prompt_layers : int, >= 1
        Layers of the integration, and of the decoder of prompts.
    alpha : float, >= 0
        How much of the prompt is added to a name, at first.
    drop_path : float in [0, 1]
        Chance of a clip to skip a layer, in training.
    label_smoothing : float in [0, 1]
        Share of a target that is spread over all classes.
    mixup, cutmix : float, >= 0
        Parameter of the beta distribution of what is mixed; one of the two is drawn for each batch. 0 leaves it out.
    flip, colour, grey : float in [0, 1]
        Chances of a clip to be mirrored (not where directions are names), to change its colours, to lose them.
    scales : tuple of float in (0, 1]
        Shares of the side that a crop may have.
    learning_rate : float, > 0
        Of CLIP's weights.
    new_rate : float, > 0
        How many times as much that of the new weights is.
    weight_decay : float, >= 0
        Of matrices.
    epochs, warm_up : int
        Passes over the clips; in the first `warm_up` the rate rises from 0, then it falls to a hundredth by a cosine.
    batch_size : int, >= 1
        Clips in a step.
    views, crops : int, >= 1
        Times and places that a clip is looked at in prediction; probabilities are averaged.

    Attributes
    ----------
    network_ : XCLIPNetwork
        Given as `model`, it goes on learning: from many classes to a handful of clips. Its parts must be those that are
        asked for; `alpha`, the layers of the integration and of the prompts, and `drop_path` are the model's then.
    classes_ : ClassSpace
        What is predicted.
    vectors_ : Tensor (K, d)
        Of the names of `classes_`, computed once.
    history_ : dict of arrays
        `loss` of each epoch.

    References
    ----------
    [1] Ni, Peng, Chen, Zhang, Meng, Fu, Xiang, Ling, "Expanding Language-Image Pretrained Models for General Video
        Recognition", ECCV 2022.
    """

    card = Card(
        slug="x-clip",
        cost=600.0,
        title="Expanding Language-Image Pretrained Models for General Video Recognition",
        venue="ECCV 2022",
        official_code="microsoft/VideoX",
        summary="Recognize videos by an image-text model, also of classes that are only named.",
        unseen={"classes", "modalities"},
        modalities={"clip"},
        protocols={"closed"},
        presets={
            "default": {},
            "few-shot": {"frames": 32, "epochs": 50, "learning_rate": 2e-6},
            "zero-shot": {"frames": 32, "epochs": 10},
            "small": {"epochs": 30, "learning_rate": 3e-4, "new_rate": 3.0, "batch_size": 16, "flip": 0.0},
        },
        at_prediction={"views", "crops"},
        on_request={"few-shot", "zero-shot", "small"},
        smoke={"frames": 4, "epochs": 1, "warm_up": 0, "batch_size": 30, "learning_rate": 1e-3, "new_rate": 1.0},
        needs=(FrameTowers(),),
        parts=(
            "unseen.methods.video.x_clip.network.XCLIPNetwork",
            "unseen.data.segments.segment_index",
            "unseen.data.clip_augment.cutmix",
            "unseen.encoders.prunable.prunable_towers",
        ),
        left_out=(
            "Kinetics, HMDB-51 and UCF-101 with CLIP's ViT-B/16 and ViT-L/14: none is at hand. `fit` reads their "
            "folders by `unseen.data.loaders.load` and any open_clip vision transformer by `prunable_towers`.",
            "Towers that pool their patches (SigLIP): messages are made of class tokens.",
        ),
        notes=(
            "What is mixed is drawn for a batch, as in the released code, and clips are mixed with those of the same "
            "batch in reverse order.",
            "Crops have shares of the shorter side, and the size of the tower. Colours change by up to .4 with "
            "the chance `colour`.",
            "The rates of the presets are the paper's, which are of a batch of 256 clips. `drop_path` draws anew for "
            "each frame in a layer, and for each video in a message. The height and the width of a crop are drawn "
            "freely, each by itself.",
            "The released code keeps the vectors of the first class list that it meets; here each list has its own.",
            "Positions begin at .02, which is little beside long vectors of frames; towers may be given shorter "
            "ones, which changes no cosine. On drawings of two vendors (emoji in ten motions, towers with vectors "
            "a tenth as long, 800 steps; confirmed once) 64 clips of a motion gave .58 and .58 of ten motions, .85 and "
            ".81 between a motion and its reverse; the fine-tuned mean of frames .16 and .50, logistic regression on "
            "the frozen tower's frames beside each other .44, .42 and .75, .79, on frames of 8 x 8 pixels .79, .73 and "
            ".90, .88. Without messages between frames, or without prompts, it was as good. Two clips of a motion gave "
            ".17, .13, small frames .22, .25. Of things in motions never shown with them it named .46 and .46 by name "
            "alone, a ridge regression from frames onto names .45, .48, the fine-tuned mean .38, .43. After 400 steps "
            "it had hardly begun to learn.",
        ),
    )

    frames: Count = 8
    cross_frame: bool = True
    mit: bool = True
    video_prompt: bool = True
    text_head: bool = True
    mit_layers: Count = 1
    prompt_layers: Count = 2
    alpha: NonNegative = 0.1
    drop_path: Annotated[float, Within(0, 1, open_high=True)] = 0.0
    label_smoothing: Unit = 0.1
    mixup: NonNegative = 0.8
    cutmix: NonNegative = 1.0
    flip: Unit = 0.5
    colour: Unit = 0.8
    grey: Unit = 0.2
    scales: tuple[Annotated[float, Within(0, 1, open_low=True)], ...] = (1.0, 0.875, 0.75, 0.66)
    learning_rate: Positive = 8e-6
    new_rate: Positive = 10.0
    weight_decay: NonNegative = 1e-3
    epochs: Count = 30
    warm_up: Natural = 5
    batch_size: Count = 32
    views: Count = 1
    crops: Count = 1

    network_: nn.Module = dataclasses.field(init=False)

    def fit(self, *, source: Domain, model: nn.Module, classes: ClassSpace | None = None) -> Self:
        """Learn from labelled clips.

        Parameters
        ----------
        source : Domain
            Clips as networks take them (`unseen.data.segments.ready`), of at least the size of the tower's pictures.
        model : Module
            Two towers with a `VisionTower`, or the `network_` of a fitted X-CLIP, of which a copy goes on.
        classes : ClassSpace, optional
            What is predicted, whose first are those of `source`; those of `source` if absent.
        """
        seen, y = np.unique(source.labels, return_inverse=True)
        names = [readable(source.classes, int(label)) for label in seen]
        network = self._begin(model, len(names))
        text = network.encode_names(names)
        clips = source.replace(y=y, classes=None)
        per_epoch = steps(len(source), self.batch_size)
        adam = torch.optim.AdamW(
            by_rate(network, self.learning_rate, self.weight_decay, new=NEW, faster=self.new_rate, rest=("position",)),
            betas=(0.9, 0.98),
            eps=1e-8,
        )
        warm = min(self.warm_up, self.epochs - 1) * per_epoch
        run = train(
            self._objective(network, text),
            name="x-clip",
            nets={"x-clip": network.train()},
            optimizers={"adam": adam},
            schedulers={"rate": warm_cosine(adam, self.epochs * per_epoch, warm, start=0.0, last=0.01)},
            batches=clip_batches(clips, self.batch_size, self.frames, augment=self._view(network)),
            epochs=self.epochs,
            steps_per_epoch=per_epoch,
        )
        self.history_: dict[str, NDArray[Any]] = {"loss": np.array([epoch["loss"] for epoch in run.history])}
        self.network_ = network.eval().cpu()
        space = source.classes if classes is None or not self.text_head else classes
        learnt = ClassSpace(names=tuple(names))
        return self._name(space.bare() if self.text_head and space is not None else learnt)

    def adapt(self, *, classes: ClassSpace) -> Self:
        """Name other classes to predict: any that have a name; nothing is trained."""
        self._check_names()
        return self._name(classes.bare())

    def expected_seconds(self, words: Mapping[str, Any]) -> float | None:
        """Of the image tower, which all learns; what is beside it takes little."""
        return seconds_on_frames(words, self.frames, self.epochs, self.batch_size)

    def _name(self, classes: ClassSpace) -> Self:
        self.classes_ = classes
        network: Any = self.network_
        self.vectors_ = self._vectors(classes) if self.text_head else network.prompts_classes.detach()
        return self

    def _check_names(self) -> None:
        if not self.text_head:
            raise ValueError("classes cannot be named: text_head=False learnt vectors in the place of names")

    def _vectors(self, classes: ClassSpace) -> Tensor:
        self._check_names()
        network: Any = self.network_
        return network.encode_names([readable(classes, k) for k in range(len(classes))])

    def _begin(self, model: nn.Module, classes: int) -> XCLIPNetwork:
        """A copy of what is given, to be trained."""
        if isinstance(model, XCLIPNetwork):
            self._check_parts(model, classes)
            return copy.deepcopy(model)
        towers: Any = model
        if not isinstance(model, TokenizingTowers) or not isinstance(getattr(towers, "image", None), VisionTower):
            raise TypeError(
                "model must be two towers whose image tower is a vision transformer, as "
                f"unseen.encoders.prunable.prunable_towers makes them; got {type(model).__name__}"
            )
        if towers.image.pool != "token":
            raise ValueError(f"model must read its class token; its image tower takes {towers.image.pool!r}")
        return x_clip_network(
            towers, self.frames, self.cross_frame, self.mit,
            self.video_prompt and self.text_head, self.mit_layers, self.prompt_layers, self.alpha, self.drop_path,
            0 if self.text_head else classes,
        )  # fmt: skip

    def _check_parts(self, model: XCLIPNetwork, classes: int) -> None:
        """Raise `ValueError` unless a given network is what the arguments ask for."""
        if model.frames != self.frames:
            raise ValueError(f"model was made for {model.frames} frames; frames is {self.frames}")
        wanted = {
            "cross_frame": self.cross_frame, "mit": self.mit, "text_head": self.text_head,
            "video_prompt": self.video_prompt and self.text_head,
        }  # fmt: skip
        for name, has in model.parts().items():
            if has != wanted[name]:
                raise ValueError(f"model was made with {name}={has}; {name} is {wanted[name]}")
        if not self.text_head and model.classes != classes:
            raise ValueError(f"model has learnt vectors of {model.classes} classes; source has labels of {classes}")

    def _view(self, network: XCLIPNetwork) -> Callable[[Tensor, torch.Generator], Tensor]:
        def view(x: Tensor, generator: torch.Generator) -> Tensor:
            x = multi_scale_crop(x, generator, self.scales, network.size)
            if self.flip:
                x = flip(x, generator, self.flip)
            return jitter(x, generator, grey=self.grey, share=self.colour) if self.colour or self.grey else x

        return view

    def _objective(self, network: XCLIPNetwork, text: Tensor) -> Callable[[Batch, Run], Tensor]:
        mixes = [(mix, alpha) for mix, alpha in ((mixup, self.mixup), (cutmix, self.cutmix)) if alpha > 0]

        def objective(batch: Batch, run: Run) -> Tensor:
            assert batch.y is not None
            x, targets = batch.x, nn.functional.one_hot(batch.y, len(text)).float()
            if mixes:
                mix, alpha = mixes[int(torch.randint(len(mixes), (1,), generator=run.generator))]
                x, targets = mix(x, targets, alpha, run.generator)
            logits = network(x, text.to(x.device))
            loss = nn.functional.cross_entropy(logits, targets, label_smoothing=self.label_smoothing)
            run.log(loss=loss)
            return loss

        return objective

    # -- asking --------------------------------------------------------------------------------------------

    @gives("scores", reads="clips")
    def decision_function(self, x: Any, classes: ClassSpace | None = None) -> Float[Tensor, "n k"]:
        """Scores of the classes that were named, or of others that have names, (n, k).

        With several views they are the logarithms of the mean probabilities, so that `predict_proba` gives these.
        """
        vectors = self.vectors_ if classes is None else self._vectors(classes)
        parts = [slice(start, start + AT_ONCE) for start in range(0, len(x), AT_ONCE)]
        return torch.cat([self._scores(x, part, vectors) for part in parts])

    @torch.no_grad()
    def _scores(self, x: Domain, part: slice, vectors: Tensor) -> Float[Tensor, "n k"]:
        network: Any = self.network_
        seen = views_of(x, part, self.frames, network.size, self.views, self.crops)
        return over_views([network(clips, vectors) for clips in seen])

    @gives("probabilities", reads="clips")
    def predict_proba(self, x: Any, classes: ClassSpace | None = None) -> Float[Tensor, "n k"]:
        """Probabilities of the classes, (n, k)."""
        return torch.softmax(self.decision_function(x, classes), dim=1)

    @gives("classes", reads="clips")
    def predict(self, x: Any, classes: ClassSpace | None = None) -> NDArray[np.int64]:
        """Index of the likeliest class, (n,)."""
        return self.decision_function(x, classes).argmax(dim=1).numpy()

    @torch.no_grad()
    @gives("scores of frames", reads="clips")
    def frame_scores(self, x: Any, classes: ClassSpace | None = None) -> Float[Tensor, "n t k"]:
        """exp(s) <c_t, t_k> of each frame by itself, without the integration: what a frame says of each class."""
        network: Any = self.network_
        vectors = self.vectors_ if classes is None else self._vectors(classes)
        scores = []
        for start in range(0, len(x), AT_ONCE):
            clips = places(stacked(x, slice(start, start + AT_ONCE), self.frames), network.size, 1)[0]
            c, patches = network.visual(clips)
            t = network.seen_by(vectors, patches)
            unit = nn.functional.normalize
            scores.append(network.logit_scale.exp() * torch.einsum("btd,bkd->btk", unit(c, dim=-1), unit(t, dim=-1)))
        return torch.cat(scores)


def readable(classes: ClassSpace | None, k: int) -> str:
    """The name of a class as words: X-CLIP reads it alone, in no template."""
    if classes is None:
        raise ValueError("source must have classes with names, which the text tower reads")
    return sentence("{}", classes.names[k])
