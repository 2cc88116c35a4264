"""Mug-STAN: an image-text model that finds videos by captions that fit but a part of them, and sees along time."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Self, overload

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from unseen.data.classes import ClassSpace
from unseen.data.clip_augment import flip, multi_scale_crop
from unseen.data.domain import Domain
from unseen.data.pairs import Pairs
from unseen.data.samplers import Batch, steps
from unseen.data.segments import clip_batches, fitted, stacked
from unseen.methods.base import Card
from unseen.methods.clip_finders import ClipFinder
from unseen.methods.parameters import Count, Natural, NonNegative, Positive, Unit, Within
from unseen.methods.verbs import gives
from unseen.methods.video.mug_stan.network import (
    LONGEST,
    NEW,
    Alignment,
    MugSTANNetwork,
    Temporal,
    TimeModule,
    going_on,
    mug_stan_network,
)
from unseen.methods.video.needs import CaptionedTowers, seconds_on_frames
from unseen.nn import parallel
from unseen.nn.contrastive import contrastive
from unseen.nn.dual_encoder import sentence, templates_of, trimmed
from unseen.nn.late_interaction import Words, pair_loss
from unseen.nn.protocols import TokenizingTowers
from unseen.nn.schedules import by_rate, warm_cosine
from unseen.nn.towers import VisionTower
from unseen.nn.train import Run, train

AT_ONCE = 16
"""Clips whose frames are read together when nothing is learnt."""
LEVELS = 4
"""Levels of the modules of time that the paper has."""
STANDING_IN = 256
"""Captions of the pairs, the first that differ, that stand for classes where none are named."""


class MugSTAN(ClipFinder):
    """Turn an image-text model into one for videos, from captions that may fit a part of the clip alone [1].

    X[a, b] = scale s(text a, clip b), and the loss is -mean log softmax over clips - mean log softmax over texts. Mug:
    s compares tokens with frames, each word chooses frames, each frame words, and only those count that found something
    (`unseen.nn.late_interaction`). STAN: the vectors of frames are those of the image tower plus what a branch beside
    its last layers says of the whole clip, which reads along time and begins with the tower's own weights.

    Parameters
    ----------
    frames, test_frames : int
        T in training, one frame of each of so many equal parts of a clip, and in prediction: 0 is as many.
    alignment : {"simple", "full", "eos", "mean"}
        Mug on all tokens, summed up as numbers or as vectors; on the vector of the text alone; or the cosine of that
        with the mean of frames, which is STAN without Mug.
    temporal : {"branch", "intermediate", "posterior", "none"}
        Where time is read: beside the last layers of the image tower, within them, on top of it, nowhere.
    depth : int, >= 0, optional
        Levels of it, beside as many of the tower's last layers; 0 is nowhere. If None, 4, or all layers of a tower that
        has fewer, or as many as a `network_` has that goes on.
    time_module : {"selfattn", "conv"}
        Attention along time, or a convolution over 3 frames.
    drop_path : float in [0, 1)
        Chance of the last level to be skipped, in training; it grows from 0.
    tau : float, >= 0
        Factor of cosines before words choose frames: 100 for CLIP, 10 to 20 for towers that have learnt little.
    scale : float, > 0
        Factor of s in the loss: 100, 20 where clips are long (DiDeMo).
    frozen : bool
        Only the modules of time learn.
    learning_rate : float, > 0
        Of the image-text model.
    new_rate : float, > 0
        How many times as much that of the modules of time is.
    weight_decay : float, >= 0
        Of matrices.
    epochs, warm_up : int
        Passes; in the first `warm_up` the rate rises from 0, then it falls to 0 by a cosine.
    batch_size : int, >= 2
        Clips in a step, each against the texts of all others.
    clip_norm : float, > 0
        Longest gradient.
    flip : float in [0, 1]
        Chance of a clip to be mirrored: 0 where texts say left and right.
    scales : tuple of float in (0, 1]
        Shares of the side that a crop may have.

    Attributes
    ----------
    network_ : MugSTANNetwork
        Given as `model`, it goes on learning: from noisy captions first, then from labels or better ones.
    classes_ : ClassSpace
        What is predicted; captions of the pairs where none were named.
    templates_ : tuple of str
        What is said of a class.
    vectors_, mask_ : Tensor (k, l, d), (k, l)
        Of the texts of `classes_`, read once.
    history_ : dict of arrays
        `loss` of each epoch.

    References
    ----------
    [1] Liu, Huang, Li, Li, "Mug-STAN: Adapting Image-Language Pretrained Models for General Video Understanding",
        arXiv 2311.15075, 2023; STAN: "Revisiting Temporal Modeling for CLIP-based Image-to-Video Knowledge
        Transferring", CVPR 2023.
    """

    card = Card(
        slug="mug-stan",
        cost=600.0,
        title="Mug-STAN: Adapting Image-Language Pretrained Models for General Video Understanding",
        venue="2023",
        official_code="farewellthree/STAN",
        summary="Turn an image-text model into a video-text model that tolerates misaligned captions.",
        unseen={"classes", "modalities"},
        modalities={"clip"},
        protocols={"closed"},
        distributed=True,
        presets={
            "default": {},
            "msr-vtt": {"test_frames": 32, "batch_size": 128},
            "didemo": {"frames": 64, "scale": 20.0, "batch_size": 128},
            "pretraining": {"learning_rate": 4e-6, "weight_decay": 0.05},
        },
        at_prediction={"test_frames"},
        on_request={"msr-vtt", "didemo", "pretraining"},
        smoke={
            "frames": 4,
            "epochs": 1,
            "warm_up": 0,
            "batch_size": 30,
            "learning_rate": 1e-3,
            "depth": 2,
            "tau": 10.0,
        },
        needs=(CaptionedTowers(),),
        commands=(
            "unseen align clips.csv --method mug-stan --encoder frames:open_clip:ViT-B-32/mine.pt --out found",
            'unseen find videos --text "a dog jumps" --model found',
        ),
        parts=(
            "unseen.methods.video.mug_stan.network.Branch",
            "unseen.nn.late_interaction.similarity",
            "unseen.nn.late_interaction.pair_loss",
            "unseen.validation.recall.both_ways",
        ),
        left_out=(
            "WebVid-10M, MSR-VTT, DiDeMo, LSMDC, Kinetics, Something-Something, HMDB-51, UCF-101 and AVA with CLIP's "
            "ViT-B/32, B/16 and L/14, and CoCa: none is at hand. `unseen align` reads their tables, `fit` folders.",
            "Video chatting with a dialogue model, and boxes of actions (AVA): they are other systems on top.",
        ),
        notes=(
            "Padding is known by the mask; the released code takes a similarity of exactly 0 for it.",
            "With vectors that are not brought to unit length between the rounds, as released, the full mode is "
            "u R w: neither round ever holds vectors of a pair.",
            "Recognition reads the texts of classes once: the text tower rests there, and learns from captions.",
            "A caption that stands twice in a batch counts as wrong for the other clip, as released.",
            "Towers whose text side has one vector of a text and none of its tokens have one word a text.",
            "The branch follows the released code: each of its layers begins as the layer whose output it reads; "
            "vectors of time begin normal with deviation 1.",
            "Posterior and intermediate are rivals of the same depth; what they add begins at 0 as well, and their "
            "vectors of time are added to what is normed.",
            "On drawings (emoji in ten motions, two vendors, 64 clips of a motion, towers of two layers, 800 steps) it "
            "names .83 of ten motions (mean of frames .19, logistic regression on the frozen tower's frames .43, on "
            "frames of 8 x 8 pixels .76, layers on top of the tower .60, layers within it .86: better) and tells a "
            "motion from its reverse in .91 of the cases, as well with the towers frozen; with half of the steps it "
            "had hardly begun. Where captions fit two frames of eight, the first place was right for .25 by the simple "
            "mode, .17 by the full one, .06 by the mean of frames, .28 by the best matches of words and frames.",
        ),
    )

    frames: Count = 12
    test_frames: Natural = 0
    alignment: Alignment = "simple"
    temporal: Temporal = "branch"
    depth: Natural | None = None
    time_module: TimeModule = "selfattn"
    drop_path: Annotated[float, Within(0, 1, open_high=True)] = 0.1
    tau: NonNegative = 100.0
    scale: Positive = 100.0
    frozen: bool = False
    learning_rate: Positive = 2e-6
    new_rate: Positive = 10.0
    weight_decay: NonNegative = 0.02
    epochs: Count = 10
    warm_up: Natural = 1
    batch_size: Annotated[int, Within(2)] = 32
    clip_norm: Positive = 5.0
    flip: Unit = 0.0
    scales: tuple[Annotated[float, Within(0, 1, open_low=True)], ...] = (1.0, 0.875)

    network_: nn.Module = dataclasses.field(init=False)

    @overload
    def fit(
        self, *, source: Domain, model: nn.Module, classes: ClassSpace | None = None, prompts: Any = None
    ) -> Self: ...
    @overload
    def fit(
        self, *, pairs: Pairs, model: nn.Module, classes: ClassSpace | None = None, prompts: Any = None
    ) -> Self: ...
    def fit(
        self,
        *,
        model: nn.Module,
        source: Domain | None = None,
        pairs: Pairs | None = None,
        classes: ClassSpace | None = None,
        prompts: Any = None,
    ) -> Self:
        """Learn from labelled clips whose classes have names, or from clips and their captions.

        Parameters
        ----------
        source : Domain
            Clips as networks take them (`unseen.data.segments.ready`).
        pairs : Pairs
            Such clips on one side, captions on the other.
        model : Module
            Two towers, that of pictures a `VisionTower`; or the `network_` of a fitted Mug-STAN: a copy goes on.
        classes : ClassSpace, optional
            What is predicted; the classes of `source`, or captions of `pairs`, if absent.
        prompts : sequence of str, optional
            What is said of a class, with {} in the place of its name, averaged; the name alone if absent.
        """
        self.templates_ = templates_of(prompts, ("{}",))
        if pairs is None:
            assert source is not None
            known = named(source)
            network, run = self._recognize(source, known, self._begin(model))
        else:
            clips, captions = captioned(pairs)
            known = ClassSpace(names=tuple(dict.fromkeys(captions))[:STANDING_IN])
            network, run = self._retrieve(clips, captions, self._begin(model))
        self.history_: dict[str, NDArray[Any]] = {"loss": np.array([epoch["loss"] for epoch in run.history])}
        self.network_ = network.eval().cpu()
        return self._name(known if classes is None else classes.bare())

    def adapt(self, *, classes: ClassSpace, prompts: Any = None) -> Self:
        """Name other classes to predict: any that can be said in words; nothing is trained."""
        self.templates_ = templates_of(prompts, self.templates_)
        return self._name(classes.bare())

    def expected_seconds(self, words: Mapping[str, Any]) -> float | None:
        """Of the image tower; its texts and the branch take little beside it."""
        return seconds_on_frames(words, self.frames, self.epochs, self.batch_size)

    # -- learning ------------------------------------------------------------------------------------------

    def _retrieve(self, clips: Domain, captions: Sequence[str], network: MugSTANNetwork) -> tuple[nn.Module, Run]:
        """Steps 8, 10 and 12: every caption against every clip of the batch, both ways."""
        tokens = network.reader(captions)
        if self.frozen:
            network.text.requires_grad_(False)

        def objective(batch: Batch, run: Run) -> Tensor:
            rows = tokens[batch.index.cpu()]
            rows = rows if parallel.world() > 1 else trimmed(rows)
            words = network.encode_words(rows.to(batch.x.device))
            loss = pair_loss(words, network.encode_frames(batch.x), self.scale, network.similarity)
            run.log(loss=loss)
            return loss

        return network, self._train(clips.replace(y=None, classes=None), network, objective)

    def _recognize(self, source: Domain, names: ClassSpace, network: MugSTANNetwork) -> tuple[nn.Module, Run]:
        """Step 9: cross-entropy over the texts of all classes, which are read once."""
        seen, y = np.unique(source.labels, return_inverse=True)
        network.text.requires_grad_(False)
        words = network.read(self._texts(names.take(seen)))

        def objective(batch: Batch, run: Run) -> Tensor:
            assert batch.y is not None
            on_device = Words(words.vectors.to(batch.x.device), words.mask.to(batch.x.device))
            s = network.similarity(on_device, network.encode_frames(batch.x))
            targets = nn.functional.one_hot(batch.y, len(seen)).to(s.dtype)
            loss = contrastive(self.scale * self._averaged(s), targets)
            run.log(loss=loss)
            return loss

        return network, self._train(source.replace(y=y, classes=None), network, objective)

    def _train(self, clips: Domain, network: MugSTANNetwork, objective: Callable[[Batch, Run], Tensor]) -> Run:
        """Step 11."""
        per_epoch = steps(len(clips), self.batch_size)
        for name, parameter in network.named_parameters() if self.frozen else ():
            parameter.requires_grad_(name.startswith(NEW))
        trained = by_rate(
            network, self.learning_rate, self.weight_decay, new=NEW, faster=self.new_rate, rest=("position", "times")
        )
        if not trained:
            raise ValueError("frozen=True leaves nothing to learn without modules of time: temporal or depth says so")
        adam = torch.optim.AdamW(trained, betas=(0.9, 0.98), eps=1e-8)
        warm = min(self.warm_up, self.epochs - 1) * per_epoch
        return train(
            objective,
            name="mug-stan",
            nets={"mug-stan": network.train()},
            optimizers={"adam": adam},
            schedulers={"rate": warm_cosine(adam, self.epochs * per_epoch, warm, start=0.0)},
            batches=clip_batches(clips, self.batch_size, self.frames, augment=self._view(network)),
            epochs=self.epochs,
            steps_per_epoch=per_epoch,
            clip=self.clip_norm,
        )

    def _view(self, network: MugSTANNetwork) -> Callable[[Tensor, torch.Generator], Tensor]:
        def view(x: Tensor, generator: torch.Generator) -> Tensor:
            return flip(multi_scale_crop(x, generator, self.scales, network.size), generator, self.flip)

        return view

    def check_network(self, model: Any) -> None:
        """Raise where the towers cannot have the modules of time that are asked for, before any work."""
        temporal = self.temporal if self.depth != 0 else "none"
        if temporal != "none" and max(self.frames, self.test_frames) > LONGEST:
            raise ValueError(f"frames and test_frames must be at most {LONGEST}; got {self.frames}, {self.test_frames}")
        if isinstance(model, MugSTANNetwork):
            wanted = {"temporal": temporal, "depth": self.depth, "time_module": self.time_module}
            read = {"none": 1, "posterior": 2}.get(temporal, 3)  # of these settings
            for name, value in list(wanted.items())[:read]:
                if value is not None and getattr(model, name) != value:
                    raise ValueError(f"model was made with {name}={getattr(model, name)!r}; {name} is {value!r}")
            return
        image = getattr(model, "image", None)
        if not isinstance(model, TokenizingTowers) or image is None:
            raise TypeError(
                f"model must be two towers, such as unseen.encoders.prunable.prunable_towers makes; got "
                f"{type(model).__name__}"
            )
        if temporal in ("branch", "intermediate"):
            if not isinstance(image, VisionTower) or image.pool != "token":
                raise TypeError(
                    "model must have a vision transformer that reads its class token where temporal is "
                    f"{temporal!r}; its image tower is a {type(image).__name__}"
                )
            if (self.depth or 0) > image.shape.layers:
                raise ValueError(f"depth must be at most the tower's {image.shape.layers} layers; got {self.depth}")

    def _begin(self, model: nn.Module) -> MugSTANNetwork:
        """A copy of what is given, to be trained."""
        self.check_network(model)
        if isinstance(model, MugSTANNetwork):
            return going_on(model, alignment=self.alignment, tau=self.tau, drop_path=self.drop_path)
        towers: Any = model
        depth = self.depth
        if depth is None:
            beside = self.temporal in ("branch", "intermediate")
            depth = min(LEVELS, towers.image.shape.layers) if beside else LEVELS
        return mug_stan_network(
            towers, self.temporal, depth, self.time_module, self.alignment, self.tau, self.drop_path
        )

    # -- asking --------------------------------------------------------------------------------------------

    def _name(self, classes: ClassSpace) -> Self:
        network: Any = self.network_
        self.classes_ = classes
        self.vectors_, self.mask_ = network.read(self._texts(classes))
        return self

    def _texts(self, classes: ClassSpace) -> list[str]:
        return [sentence(template, name) for name in classes.names for template in self.templates_]

    def _averaged(self, s: Float[Tensor, "kp n"]) -> Float[Tensor, "n k"]:
        """The mean over what is said of a class."""
        return s.view(-1, len(self.templates_), s.shape[1]).mean(dim=1).T

    @gives("scores", reads="clips")
    def decision_function(self, x: Any, classes: ClassSpace | None = None) -> Float[Tensor, "n k"]:
        """scale s of the classes that were named, or of others that can be said in words, (n, k)."""
        network: Any = self.network_
        words = Words(self.vectors_, self.mask_) if classes is None else network.read(self._texts(classes))
        return self.scale * self._averaged(network.similarity_in_parts(words, self._frames(x)))

    @gives("probabilities", reads="clips")
    def predict_proba(self, x: Any, classes: ClassSpace | None = None) -> Float[Tensor, "n k"]:
        """Probabilities of the classes, (n, k)."""
        return torch.softmax(self.decision_function(x, classes), dim=1)

    @gives("classes", reads="clips")
    def predict(self, x: Any, classes: ClassSpace | None = None) -> NDArray[np.int64]:
        """Index of the likeliest class, (n,)."""
        return self.decision_function(x, classes).argmax(dim=1).numpy()

    @gives("similarities", reads="clips")
    def similarity(self, x: Any, texts: Sequence[str]) -> Float[Tensor, "n m"]:
        """s of each clip with each text, (n, m): a column ranks clips for a text, a row texts for a clip (step 13).

        R is held for some texts at a time. `unseen.validation.recall` grades such a table both ways.
        """
        if isinstance(texts, str) or not len(texts) or not all(isinstance(text, str) for text in texts):
            raise TypeError(f"texts must be a list of strings, at least one; got {texts!r:.80}")
        return self.compare(texts, self._frames(x))

    @property
    def asked_frames(self) -> int:
        """Frames of a clip that is asked about."""
        return self.test_frames or self.frames

    def compare(self, texts: Sequence[str], frames: Float[Tensor, "n t d"]) -> Float[Tensor, "n m"]:
        """s of clips, whose frames have these vectors, with each text, (n, m)."""
        network: Any = self.network_
        return network.similarity_in_parts(network.read(list(texts)), frames).T

    @gives("features", reads="clips")
    def frame_vectors(self, x: Any) -> Float[Tensor, "n t d"]:
        """The vectors of frames, of any length, as they are compared with words: what to store of many clips."""
        return self._frames(x)

    @torch.no_grad()
    def _frames(self, x: Domain) -> Float[Tensor, "n t d"]:
        network: Any = self.network_
        vectors = []
        for start in range(0, len(x), AT_ONCE):
            clips = stacked(x, slice(start, start + AT_ONCE), self.asked_frames)
            if network.size is not None:
                clips = fitted(clips.flatten(0, 1), network.size).view(*clips.shape[:3], *network.size)
            vectors.append(network.encode_frames(clips))
        return torch.cat(vectors)


def named(source: Domain) -> ClassSpace:
    """The classes of labelled clips, which must have names."""
    if source.classes is None:
        raise ValueError("source must have classes with names, which the text tower reads")
    return source.classes.bare()


def captioned(pairs: Pairs) -> tuple[Domain, list[str]]:
    """Clips and their captions, whichever side they stand on.

    Raises
    ------
    ValueError
        If the sides are others, there are fewer than two pairs, or a caption says nothing.
    """
    sides = {side.kind: side for side in (pairs.left, pairs.right)}
    if set(sides) != {"clip", "text"}:
        raise ValueError(f"pairs must be of clips and texts; got {pairs.left.kind} and {pairs.right.kind}")
    captions = [str(text) for text in sides["text"].x]
    if len(captions) < 2:
        raise ValueError(f"pairs must hold at least two pairs; got {len(captions)}")
    empty = [i for i, text in enumerate(captions) if not text.strip()]
    if empty:
        raise ValueError(f"pairs must have a caption of each clip; caption {empty[0]} is empty")
    return sides["clip"], captions
