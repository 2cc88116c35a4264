"""CDFSL-V: actions of another video domain from a handful of clips each."""

from __future__ import annotations

import copy
import dataclasses
import logging
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, Self

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from unseen.data.domain import Domain
from unseen.data.samplers import Batch, steps
from unseen.data.segments import in_a_row, squares, stacked
from unseen.methods.base import Card, Method
from unseen.methods.parameters import Count, Natural, Positive, Unit, Within
from unseen.methods.verbs import gives
from unseen.methods.video.cdfsl_v.curriculum import (
    SMALLEST,
    Both,
    LamSchedule,
    Student,
    Views,
    both_windows,
    clip_windows,
    consistency,
    entropy_share,
    head_decay,
    lam,
    nearest_mean,
    rates,
    regression,
    soft_labels,
    together,
    view,
)
from unseen.methods.video.needs import PretrainedVideo
from unseen.nn.averaging import follow
from unseen.nn.classifier import Classifier
from unseen.nn.operations import LEARNT, training_seconds, transformer_operations
from unseen.nn.schedules import by_decay, warm_cosine
from unseen.nn.train import Run, train
from unseen.nn.video_mae import VideoEncoder, VideoMAE, tube_mask, video_encoder

log = logging.getLogger(__name__)

AT_ONCE = 32
"""Clips that are encoded together."""


class CDFSLV(Method):
    """Learn to see a video domain from its unlabelled clips and labelled clips of another, then name new classes [1].

    First a masked autoencoder learns from the clips of both domains. Then the encoder, with a classifier of the
    source's classes, follows two losses: the labels of the source, and what its own average says of the target, whose
    clips are so described by the source's classes,

        L = CE(student(x_s), y_s) - lam mean sum_k q_k log softmax(student(strong view of x_t))_k,
        q = softmax(teacher(weak view of x_t) / tau)

    The curriculum is in the rate of the classifier: it falls to nothing in the first tenth, so that labels come first
    and then the encoder alone follows. At last the classifier is dropped, and logistic regression on the features of a
    handful of labelled clips (`support`) names any classes; `adapt` takes another handful without learning anew.

    Parameters
    ----------
    frames : int, >= 1
        T, in a row from a random start, the middle ones in prediction; shorter clips go on with their last. A multiple
        of `tubelet`.
    side : int, optional
        Pixels to which the sides of clips are brought, the middle square of each frame; as they come if None. A step
        takes as long as there are tubes, and longer: 49 times as many of 8 pixels at 224 as at 32.
    pretrain_on : {"both", "source", "target", "none"}
        Clips that the masked autoencoder learns from.
    mask_ratio : float in (0, 1)
        Share of the places that are hidden.
    pretrain_epochs, epochs : int, >= 0
        Passes of the autoencoder over its clips, and of the curriculum over the source; with 0 there is no such stage.
    lam_schedule : {"constant", "arctan", "zero"}
        lam = 1, as the released code has it; from .035 to .097; or 0: labels of the source alone.
    head_lr_schedule : bool
        Whether the rate of the classifier decays.
    ema_every : {"epoch", "step"}
        How often the teacher follows the student.
    momentum : float in [0, 1]
        What stays of the teacher then.
    tau : float, > 0
        Temperature of the teacher.
    views : {"strong-weak", "weak-weak", "none"}
        What student and teacher see of a target clip: crops of the same frames, the student's in other colours;
        crops alone; or the clip as it is.
    flip : float in [0, 1]
        Chance of a view to be mirrored: 0 where left and right make a class.
    crop : float in (0, 1]
        Least share of the area of a clip that a view shows.
    optimizer : {"sgd", "adamw"}
        Of the curriculum: SGD with Nesterov momentum .9, or AdamW.
    learning_rate, head_rate : float, > 0
        Of the encoder, and of the classifier before its decay.
    pretrain_rate : float, > 0
        Of AdamW in pre-training, after a tenth of warm-up, before a cosine.
    batch_size, pretrain_batch_size : int, >= 1
        Clips in a step, of each domain; and in a step of pre-training.
    tubelet, patch, width, layers, heads, mlp : int, >= 1
        The encoder: tubes of `tubelet` x `patch` x `patch`, and its transformer. Not read if `model` is given.
    decoder_width, decoder_layers, decoder_heads : int, >= 1
        Of the transformer that tells hidden tubes in pre-training, and is dropped then.
    head : {"logistic", "nearest-mean"}
        What names classes at last.
    C : float, > 0
        Inverse strength of the regression's penalty.

    Attributes
    ----------
    encoder_ : VideoEncoder
        Given as `model`, it is where another fit begins.
    head_ : Classifier
        Of the classes of `support`; one that has no clip there is never named.
    history_ : dict of arrays
        By epoch `mae` (the loss of pre-training), `supervised`, `consistency`, and `entropy`: that of what the teacher
        says on the mean, as a share of ln K.

    Notes
    -----
    `source` and `support` index one list of classes (`unseen.data.classes.join`), of which each has its own.

    References
    ----------
    [1] Samarasinghe, Rizve, Kardan, Shah, "CDFSL-V: Cross-Domain Few-Shot Learning for Videos", ICCV 2023.
    """

    card = Card(
        slug="cdfsl-v",
        cost=3600.0,
        title="CDFSL-V: Cross-Domain Few-Shot Learning for Videos",
        venue="ICCV 2023",
        official_code="Sarinda251/CDFSL-V",
        summary="Recognize new actions in a new video domain from five clips each.",
        unseen={"classes", "domains"},
        modalities={"clip"},
        protocols={"closed"},
        presets={
            "default": {},
            "arctan": {"lam_schedule": "arctan"},
            "small": {
                "frames": 8, "side": 32, "patch": 8, "width": 96, "layers": 4, "heads": 4, "mlp": 384,
                "decoder_width": 64, "decoder_layers": 2, "decoder_heads": 4, "pretrain_epochs": 30, "epochs": 30,
                "pretrain_rate": 1e-3, "optimizer": "adamw", "learning_rate": 5e-4, "head_rate": 5e-4, "momentum": 0.9,
                "batch_size": 32,
            },
        },
        on_request={"arctan", "small"},
        smoke={
            "frames": 4, "patch": 4, "width": 16, "layers": 1, "heads": 2, "mlp": 16, "decoder_width": 8,
            "decoder_layers": 1, "decoder_heads": 2, "pretrain_epochs": 1, "epochs": 1, "batch_size": 30,
            "pretrain_batch_size": 32,
        },
        needs=(PretrainedVideo(),),
        parts=(
            "unseen.nn.video_mae.VideoMAE",
            "unseen.data.clip_augment.resized_crop",
            "unseen.evaluation.episodes.Episodes",
            "unseen.encoders.video_mae.of_transformers_videomae",
        ),
        left_out=(
            "Kinetics as source, UCF101, HMDB51, Something-Something, Diving48 and RareAct as targets: none is at "
            "hand. `fit` reads their folders by `unseen.data.loaders.load` and `unseen.data.segments.ready`.",
        ),
        notes=(
            "The released code has lam = 1 in the place of its arctangent, and one group of parameters, so that its "
            "schedule of the classifier's rate meets none; its freezing of the classifier has no effect. Here the "
            "classifier has a group of its own.",
            "It draws classes of an episode with replacement, one beside its label, and takes the first five clips as "
            "support; here classes are distinct and clips are drawn.",
            "It puts the mean in the place of values that are no number; here such clips are refused by their name.",
            "Hues turn around the axis of greys, by up to a tenth of the circle, and colours change relative to a "
            "clip's own mean and deviation, as clips come normalized.",
            "Clips of the source and of pre-training are seen in weak views: the paper says nothing of theirs.",
            "With the momentum of .99 once an epoch half of a teacher is exchanged in 69 epochs: in short trainings "
            "take .9 an epoch, as preset small does, or .999 a step.",
            "Confirmed once on sprites (digits teach, emoji in ten other motions are named; two vendors, an encoder of "
            "175,000 weights): from five clips of five motions the whole with lam = 1 names .35, labels of the source "
            "alone .44, these after pre-training .43, differences of frames of 8 x 8 pixels with the same regression "
            ".47 (chance .20). With one clip labels of the source alone are best, .38: try them first (lam_schedule "
            "zero, pretrain_on none).",
        ),
    )  # fmt: skip

    frames: Count = 16
    side: Annotated[int, Within(8)] | None = None
    pretrain_on: Literal["both", "source", "target", "none"] = "both"
    mask_ratio: Annotated[float, Within(0, 1, open_low=True, open_high=True)] = 0.75
    pretrain_epochs: Natural = 400
    epochs: Natural = 200
    lam_schedule: LamSchedule = "constant"
    head_lr_schedule: bool = True
    ema_every: Literal["epoch", "step"] = "epoch"
    momentum: Unit = 0.99
    tau: Positive = 0.1
    views: Views = "strong-weak"
    flip: Unit = 0.5
    crop: Annotated[float, Within(0, 1, open_low=True)] = 0.5
    optimizer: Literal["sgd", "adamw"] = "sgd"
    learning_rate: Positive = 0.01
    head_rate: Positive = 0.01
    pretrain_rate: Positive = 1.5e-4
    batch_size: Count = 16
    pretrain_batch_size: Count = 64
    tubelet: Count = 2
    patch: Count = 16
    width: Count = 768
    layers: Count = 8
    heads: Count = 12
    mlp: Count = 2358
    decoder_width: Count = 384
    decoder_layers: Count = 4
    decoder_heads: Count = 6
    head: Literal["logistic", "nearest-mean"] = "logistic"
    C: Positive = 1.0

    encoder_: VideoEncoder = dataclasses.field(init=False)
    head_: Classifier = dataclasses.field(init=False)

    def fit(self, *, source: Domain, target: Domain, support: Domain, model: nn.Module | None = None) -> Self:
        """Learn from both domains, then the classes of a handful.

        Parameters
        ----------
        source : Domain
            Labelled clips as networks take them (`unseen.data.segments.ready`), all of one size.
        target : Domain
            Clips of the domain to work on.
        support : Domain
            A handful of labelled clips of it, of classes that the source need not have.
        model : VideoEncoder, optional
            Where learning begins: the `encoder_` of another fit, or
            `unseen.encoders.video_mae.of_transformers_videomae`.
        """
        _check_support(support)
        source, target, support = (squares(part, self.side) for part in (source, target, support))
        encoder = self._begin(source, model)
        for word, domain in {"source": source, "target": target, "support": support}.items():
            self._check_size(word, domain, encoder)
        self.history_: dict[str, NDArray[Any]] = {}
        if self.pretrain_on != "none" and self.pretrain_epochs:
            clips = {"both": (source, target), "source": (source,), "target": (target,)}[self.pretrain_on]
            self._pretrain(encoder, together(*clips))
        if self.epochs:
            self._follow(encoder, source, target)
        self.encoder_ = encoder.cpu().eval()
        return self._name(support)

    def adapt(self, *, support: Domain) -> Self:
        """Name the classes of these labelled clips instead; a fitted copy, whose encoder is the same."""
        _check_support(support)
        support = squares(support, self.side)
        self._check_size("support", support, self.encoder_)
        return self._name(support)

    def expected_seconds(self, words: Mapping[str, Any]) -> float | None:
        """Of both trainings, by what their transformers compute; the side of clips is that of the source's first."""
        source, target, model = words.get("source"), words.get("target"), words.get("model")
        if source is None or target is None or model is not None:
            return None
        height, width = (self.side, self.side) if self.side else np.shape(source.x[0])[2:]
        tubes = max(self.frames // self.tubelet, 1) * (height // self.patch) * (width // self.patch)
        whole = transformer_operations(tubes, self.width, self.mlp, self.layers)
        seen = transformer_operations((1 - self.mask_ratio) * tubes, self.width, self.mlp, self.layers)
        decoded = transformer_operations(tubes, self.decoder_width, 4 * self.decoder_width, self.decoder_layers)
        clips = {"both": len(source) + len(target), "source": len(source), "target": len(target), "none": 0}
        n, passes = clips[self.pretrain_on], LEARNT if self.lam_schedule == "zero" else 2 * LEARNT + 1
        return training_seconds(
            self.pretrain_epochs * n * LEARNT * (seen + decoded) + self.epochs * len(source) * passes * whole,
            self.pretrain_epochs * (steps(n, self.pretrain_batch_size) if n else 0)
            + self.epochs * steps(len(source), self.batch_size),
        )

    # -- stage 1: a masked autoencoder -------------------------------------------------------------------------

    def _pretrain(self, encoder: VideoEncoder, clips: Domain) -> None:
        """Learn to tell hidden tubes from visible ones; the decoder is dropped."""
        mae = VideoMAE(encoder, self.decoder_width, self.decoder_layers, self.decoder_heads)
        per_epoch = steps(len(clips), self.pretrain_batch_size)
        adam = torch.optim.AdamW(by_decay(mae), lr=self.pretrain_rate, betas=(0.9, 0.95), weight_decay=0.05)
        total = self.pretrain_epochs * per_epoch

        def objective(batch: Batch, run: Run) -> Tensor:
            x = self._view(batch.x, run, strong=False)
            hidden = tube_mask(len(x), encoder.grid, self.mask_ratio, run.generator).to(x.device)
            return mae(x, hidden)

        run = train(
            objective,
            name="cdfsl-v-mae",
            nets={"mae": mae.train()},
            optimizers={"adam": adam},
            schedulers={"rate": warm_cosine(adam, total, total // 10)},
            batches=clip_windows(clips, self.pretrain_batch_size, self.frames),
            epochs=self.pretrain_epochs,
            steps_per_epoch=per_epoch,
        )
        self.history_["mae"] = np.array([row["loss"] for row in run.history])

    # -- stage 2: the curriculum -------------------------------------------------------------------------------

    def _follow(self, encoder: VideoEncoder, source: Domain, target: Domain) -> None:
        """Labels of the source and the consistency of the target, whose teacher is the student's own average."""
        seen, y = np.unique(source.labels, return_inverse=True)
        student = Student(encoder, len(seen))
        teacher = copy.deepcopy(student).requires_grad_(False)
        per_epoch = steps(len(source), self.batch_size)
        groups = rates(student, self.learning_rate, self.head_rate)
        optimizer: torch.optim.Optimizer = (
            torch.optim.SGD(groups, momentum=0.9, nesterov=True)
            if self.optimizer == "sgd"
            else torch.optim.AdamW(groups)
        )
        answers: list[Tensor] = []

        def follow_student(run: Run) -> None:
            follow(teacher, student, self.momentum)

        def end_epoch(run: Run) -> None:
            if self.ema_every == "epoch":
                follow_student(run)
            if answers:
                run.history[-1]["entropy"] = entropy_share(answers)
                answers.clear()

        alone = self.lam_schedule == "zero"
        run = train(
            self._objective(student, teacher, answers),
            name="cdfsl-v",
            nets={"student": student.train(), "teacher": teacher},
            optimizers={"student": optimizer},
            schedulers={"rate": head_decay(optimizer, self.epochs, per_epoch, self.head_lr_schedule)},
            batches=both_windows(
                source.replace(y=y, classes=None), None if alone else target, self.batch_size, self.frames
            ),
            epochs=self.epochs,
            steps_per_epoch=per_epoch,
            after_step=follow_student if self.ema_every == "step" else None,
            after_epoch=end_epoch,
            clip=5.0,
        )
        keys = ("supervised",) if alone else ("supervised", "consistency", "entropy")
        self.history_ |= {key: np.array([row[key] for row in run.history]) for key in keys}
        _tell_collapse(self.history_.get("entropy"), len(seen))

    def _objective(self, student: Student, teacher: Student, said: list[Tensor]) -> Callable[[Both, Run], Tensor]:
        def objective(batch: Both, run: Run) -> Tensor:
            loss = F.cross_entropy(student(self._view(batch.source.x, run, strong=False)), batch.source.y)  # type: ignore[arg-type]
            run.log(supervised=loss)
            weight = lam(run.epoch / self.epochs, self.lam_schedule)
            if batch.target is None:
                return loss
            with torch.no_grad():
                q = soft_labels(teacher(self._view(batch.target, run, strong=False)), self.tau)
            said.append(q)
            strong = self._view(batch.target, run, strong=self.views == "strong-weak")
            apart = consistency(student(strong), q)
            run.log(consistency=apart)
            return loss + weight * apart

        return objective

    def _view(self, x: Tensor, run: Run, *, strong: bool) -> Tensor:
        if self.views == "none":
            return x
        return view(x, run.generator, strong=strong, mirrored=self.flip, scale=(self.crop, 1.0))

    # -- stage 3: a handful --------------------------------------------------------------------------------------

    def _name(self, support: Domain) -> Self:
        n_classes = len(support.classes) if support.classes is not None else int(support.labels.max()) + 1
        x = self._features(support)
        self.head_ = (
            regression(x, support.labels, n_classes, self.C)
            if self.head == "logistic"
            else nearest_mean(x, support.labels, n_classes)
        )
        return self

    @torch.no_grad()
    def _features(self, clips: Domain) -> Float[Tensor, "n d"]:
        middle = in_a_row(squares(clips, self.side, room=0), self.encoder_.frames)
        return torch.cat([self.encoder_(stacked(middle, part)) for part in parts(len(clips))])

    # -- what it is asked ----------------------------------------------------------------------------------------

    @gives("features", reads="clips")
    def transform(self, x: Any) -> Float[Tensor, "n d"]:
        """Features of clips, (n, d): the normed mean of their tokens."""
        return self._features(x)

    @gives("scores", reads="clips")
    @torch.no_grad()
    def decision_function(self, x: Any) -> Float[Tensor, "n c"]:
        """Scores of the classes of the support, (n, c)."""
        return self.head_(self._features(x))

    @gives("probabilities", reads="clips")
    def predict_proba(self, x: Any) -> Float[Tensor, "n c"]:
        """Probabilities of the classes, (n, c)."""
        return torch.softmax(self.decision_function(x), dim=1)

    @gives("classes", reads="clips")
    def predict(self, x: Any) -> NDArray[np.int64]:
        """Index of the likeliest class, (n,)."""
        return self.decision_function(x).argmax(dim=1).numpy()

    # -- what it begins with -------------------------------------------------------------------------------------

    def _begin(self, source: Domain, model: nn.Module | None) -> VideoEncoder:
        """A copy of what is given, or fresh weights for clips of the source's size."""
        if model is None:
            height, width = stacked(in_a_row(source, 1), slice(0, 1)).shape[3:]
            encoder: VideoEncoder = video_encoder(
                self.frames, (height, width), self.tubelet, self.patch, self.width, self.layers, self.heads, self.mlp
            )
            return encoder
        if not isinstance(model, VideoEncoder):
            raise TypeError(
                "model must be a VideoEncoder, the encoder_ of a fit or what "
                f"unseen.encoders.video_mae.of_transformers_videomae makes; got {type(model).__name__}"
            )
        if model.frames != self.frames:
            raise ValueError(f"model was made for {model.frames} frames; frames is {self.frames}")
        return copy.deepcopy(model).requires_grad_(True)

    def _check_size(self, word: str, domain: Domain, encoder: VideoEncoder) -> None:
        """Each clip is read once, and found to fit the encoder."""
        middle = in_a_row(domain, encoder.frames)
        for part in parts(len(domain)):
            try:
                encoder.check(stacked(middle, part))
            except ValueError as error:
                raise ValueError(f"{word} does not fit: {error}") from error


def parts(n: int) -> list[slice]:
    """So many clips, `AT_ONCE` at a time."""
    return [slice(start, start + AT_ONCE) for start in range(0, n, AT_ONCE)]


def _check_support(support: Domain) -> None:
    """Raise `ValueError` if there is nothing to tell apart."""
    if len(np.unique(support.labels)) < 2:
        raise ValueError("support must hold at least two classes; all its clips are of one")


def _tell_collapse(entropy: NDArray[Any] | None, classes: int) -> None:
    """Say that the teacher calls all target clips alike, as at the end of the curriculum."""
    if entropy is not None and classes > 1 and entropy[-1] < SMALLEST:
        log.warning(
            "the teacher has collapsed: on the mean over target clips its answers have %.2f of the entropy of %d "
            "classes; a larger tau, a smaller learning_rate or lam_schedule='arctan' may help",
            entropy[-1],
            classes,
        )
