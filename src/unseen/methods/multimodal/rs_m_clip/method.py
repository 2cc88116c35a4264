"""RS-M-CLIP: an image-text model learns a special domain from captions in several languages and its own crops."""

import copy
import dataclasses
from typing import Annotated, Any, Literal, Self

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from unseen.data.augment import MultiCrop
from unseen.data.classes import ClassSpace
from unseen.data.pairs import Pairs
from unseen.data.samplers import steps, tensor
from unseen.methods.base import Card, Method, NotFittedError
from unseen.methods.multimodal.prefix_conditioning.inputs import picture_side, plain
from unseen.methods.multimodal.rs_m_clip.asking import (
    CaptionsInLanguages,
    Sentences,
    ensembled,
    given_sentences,
    prototypes,
)
from unseen.methods.multimodal.rs_m_clip.objective import Objective, SelfDistillation, Temperatures
from unseen.methods.multimodal.rs_m_clip.sampler import LanguageSampler, languages_of, pictures_of
from unseen.methods.multimodal.rs_m_clip.seen import ASKED, Seen, taught, watched
from unseen.methods.parameters import Count, Natural, NonNegative, Positive, Unit, Within
from unseen.nn.contrastive import LARGEST, LogitScale
from unseen.nn.dual_encoder import in_parts, named_classes
from unseen.nn.protocols import TokenizingTowers
from unseen.nn.schedules import by_decay, warm_cosine
from unseen.nn.self_distillation import Projector
from unseen.nn.train import Run, train
from unseen.validation.recall import by_language

Share = Annotated[float, Within(0, 1, open_low=True)]
SMALL: dict[str, Any] = {
    "n_local": 4, "hidden": 256, "bottleneck": 64, "out_dim": 1024, "batch_size": 128, "learning_rate": 1e-3,
    "head_rate": 1.0, "ema_decay": 0.97, "tau_teacher": (0.04, 0.04),
}  # fmt: skip
"""Of small towers that begin fresh: hundreds of steps, in which the teacher must keep up."""
SMOKE: dict[str, Any] = {
    "epochs": 2, "batch_size": 8, "n_local": 2, "local_size": 6, "hidden": 8, "bottleneck": 4, "out_dim": 16,
    "learning_rate": 1e-2, "validation": 0.2,
}  # fmt: skip
FEWEST = 16
"""Pictures below which none are held out for validation."""


class RSMCLIP(Method):
    """Adapt an image-text model to a special domain with captions in several languages and its own crops [1].

    Each time a picture is drawn, so is a language, and one of its captions in it. The student (two towers) learns

        L = L_con + lambda L_sd
        L_con = mean over large crops of (L_i2t + L_t2i) / 2           symmetric InfoNCE, temperature learnt
        L_sd = mean over views x' of the teacher and x != x' of the student of -sum_k P_t(x') log P_s(x)

    where the teacher is the moving average of the student, sees the two large crops alone, and the student sees small
    ones, too (`unseen.nn.self_distillation`). Both are asked about pictures held out in the end; the better is kept.

    Features of a frozen encoder have no crops: of these there is L_con alone (`distilled_` says so).

    Parameters
    ----------
    languages : tuple of str
        Those of the column `language` of the pairs that are learnt; () is all, ("en",) plain fine-tuning.
    source_language : str
        That captions were written in.
    p_source : float in [0, 1], optional
        Its probability whenever a picture is drawn; all languages alike if absent, 1/10 of ten.
    captions : {"all", "first"}
        All captions that a picture has in a language, or one.
    distillation : float, >= 0
        lambda; 0 is the contrastive loss alone.
    wide_scale, local_scale : pair of float in (0, 1]
        Share of a picture's area that a large and a small crop has.
    n_local : int, >= 0
        Small crops of each picture.
    local_size : int, >= 0
        Pixels of their side; 0 is 3/7 of the picture's (96 of 224).
    turns : {"none", "flips", "any"}
        Mirror crops, or turn them by quarters, too, as pictures from straight above have no top; these must be square.
    ema_decay : float in [0, 1]
        m of the teacher, the same in all steps: one that rises to 1 would keep what it learns of languages out.
    center_momentum : float in [0, 1]
        m_c, of the centre that is taken from the teacher's logits: the mean of so many batches.
    tau_student, tau_teacher, tau_warm : float, pair of float, float in [0, 1]
        Temperatures: of the student; of the teacher at first, and from a share `tau_warm` of the training on.
    hidden, bottleneck, out_dim : int, >= 1
        Of the projector; out_dim is K.
    rest_last : int, >= 0
        Epochs in which the last layer of the projector rests.
    epochs : int, >= 1
        In each, every picture is drawn once, whatever the number of languages, but for those, others each time, that
        are left when no whole batch can be made of them.
    batch_size : int, >= 2
    learning_rate, head_rate, weight_decay : float
        Of AdamW; the projector's rate is `head_rate` times that of the towers.
    warm_up : float in [0, 1]
        Share of the steps in which the rate goes up; then it goes down by half a cosine.
    clip : float, > 0
        Largest norm of a gradient.
    validation : float in [0, 1]
        Share of the pictures that are held out to choose between student and teacher; 0, or fewer than 16 pictures,
        keeps the student.
    keep : {"better", "student", "teacher"}
        Which of the two is the model: by default the one that finds more among the pictures held out.

    Attributes
    ----------
    network_, kept_ : Module, str
        The towers that were kept, and which: "student" or "teacher".
    validation_ : dict of str to dict of str to float
        Mean recall (mR) of student and teacher on the pictures held out, by language.
    distilled_ : bool
        Whether there was a self-distillation.
    languages_, drawn_ : tuple of str, dict of str to int
        Languages that were learnt, and pairs of each that were there to be drawn.
    monitors_ : dict of str to float
        What a collapse shows in: `mean_cosine_*`, `effective_rank_*`, `std_*` of pictures and texts; of the teacher as
        it taught, in batches of large crops, `teacher_entropy`, that of the mean output as a share of ln K, 0 where it
        says one thing of all, and `teacher_certainty`, 0 where it says everything of each.
    steps_ : int
        Batches that were learnt from.
    history_ : dict of arrays
        Of each epoch `loss`, `contrastive`, `scale`, and `distillation` and `teacher_entropy` where there is one.
    prototypes_ : Tensor (l, k, d)
        Unit vectors of classes in the languages `spoken_` of the prompts; classes are told by their ensemble.

    References
    ----------
    [1] Silva, Magalhaes, Tuia, Martins, "Multilingual Vision-Language Pre-training for the Remote Sensing
        Domain", 2024.
    """

    card = Card(
        slug="rs-m-clip",
        cost=60.0,
        title="Multilingual Vision-Language Pre-training for the Remote Sensing Domain",
        venue="2024",
        official_code="DannielSilva/RS-M-CLIP",
        summary="Adapt a multilingual image-text model to a special domain with translated captions.",
        unseen={"classes", "domains"},
        modalities={"features", "image"},
        protocols={"closed"},
        presets={"default": {}, "small": SMALL, "contrastive": {"distillation": 0.0}},
        on_request={"small", "contrastive"},
        smoke=SMOKE,
        needs=(CaptionsInLanguages(),),
        commands=(
            "unseen align captions.csv --languages en,es,pt --translator apertium --out adapted",
            "unseen align captions.csv --languages en,de,ko --crops --out adapted",
        ),
        parts=(
            "unseen.data.translations.TranslatedCorpus",
            "unseen.data.translations.Apertium",
            "unseen.data.augment.MultiCrop",
            "unseen.nn.self_distillation.distillation_loss",
            "unseen.nn.averaging.follow",
            "unseen.nn.contrastive.both_ways",
            "unseen.nn.multilingual_text.Grams",
            "unseen.validation.recall.by_language",
        ),
        left_out=(
            "RSICD, UCM, Sydney, NWPU and RSITMD with XLM-RoBERTa and ViT-B/32 (steps 1, 2, 10): none is at hand. "
            "`unseen align A.csv B.csv --languages ...` unites their tables, and reads whole towers of open_clip; "
            "those whose texts a Hugging Face model reads have no saved form here, such as xlm-roberta-base-ViT-B-32.",
            "Translation by a language model (step 3): a translator is any function or program; none comes along.",
            "Several processes: crops are drawn in one.",
        ),
        notes=(
            "The repository has no training code: crops, temperatures, K, the projector, the sampler and the rates are "
            "those of DINO and SILC, and settings.",
            "A translation that is up to 24 signs long is never too long: three times the source is little for a word.",
            "A translation is kept in the wrong script, or as the source is, only where the source is a name: every "
            "word begins with a capital.",
            "Which of student and teacher is better is asked once, after the last epoch.",
            "The teacher's entropy is a share of ln K; of n < K crops with one output each it is at most ln n / ln K, "
            "and the warning asks for half of that.",
            "BatchNorm of the student remembers large crops alone: small ones are normalized by their own batch.",
        ),
    )

    languages: tuple[str, ...] = ()
    source_language: str = "en"
    p_source: Unit | None = None
    captions: Literal["all", "first"] = "all"
    distillation: NonNegative = 1.0
    wide_scale: tuple[Share, Share] = (0.4, 1.0)
    local_scale: tuple[Share, Share] = (0.05, 0.4)
    n_local: Natural = 6
    local_size: Natural = 0
    turns: Literal["none", "flips", "any"] = "none"
    ema_decay: Unit = 0.996
    center_momentum: Unit = 0.9
    tau_student: Positive = 0.1
    tau_teacher: tuple[Positive, Positive] = (0.04, 0.07)
    tau_warm: Unit = 0.3
    hidden: Count = 2048
    bottleneck: Count = 256
    out_dim: Count = 4096
    rest_last: Natural = 1
    epochs: Count = 20
    batch_size: Annotated[int, Within(2)] = 256
    learning_rate: Positive = 5e-5
    head_rate: Positive = 10.0
    weight_decay: NonNegative = 0.1
    warm_up: Unit = 0.1
    clip: Positive = 3.0
    validation: Unit = 0.1
    keep: Literal["better", "student", "teacher"] = "better"

    network_: nn.Module = dataclasses.field(init=False)

    def fit(self, *, pairs: Pairs, model: nn.Module, classes: ClassSpace | None = None, prompts: Any = None) -> Self:
        """Learn from pairs.

        Parameters
        ----------
        pairs : Pairs
            Pictures, or features of them, on one side, captions on the other; a column `language` says which language
            a caption is in (`unseen.data.translations.TranslatedCorpus.pairs` writes one). Equal pictures are one with
            several captions; a column `group` says it otherwise.
        model : Module
            Two towers as they begin; a copy is trained.
        classes : ClassSpace, optional
            What is predicted; distinct captions in the source language if absent.
        prompts : optional
            Templates with {} for a class name, or a mapping of languages to templates or to a sentence for each class.
        """
        seen = self._seen(pairs)
        space = seen.answers(self.source_language) if classes is None else plain(classes)
        sentences = None
        if not (classes is None and prompts is None):
            sentences = given_sentences(space, prompts, self.source_language)
        student = self._begin(model, seen)
        crops = self._crops(student, seen)
        tokens = student.tokenize([str(text) for text in seen.texts])
        self._try(student, seen, tokens, crops)
        learn, held = self._held_out(seen)
        sampler = LanguageSampler(*seen.of(learn), self.source_language, self.p_source, every=self.captions == "all")
        pictures = seen.pictures.take(learn)
        rows = torch.as_tensor(np.flatnonzero(np.isin(seen.number, learn)))
        scale = LogitScale(min(float(student.logit_scale.detach().exp()), LARGEST))
        student.logit_scale.requires_grad_(False)
        distil = crops is not None and self.distillation > 0
        projector = Projector(self._dim(student, seen), self.hidden, self.bottleneck, self.out_dim) if distil else None
        distillation = SelfDistillation(
            student, projector, self.ema_decay, self.center_momentum,
            Temperatures(self.tau_student, *self.tau_teacher, self.tau_warm),
        )  # fmt: skip
        groups = by_decay(nn.ModuleDict({"student": student, "scale": scale}))
        if projector is not None:
            groups += [{**group, "lr": self.learning_rate * self.head_rate} for group in by_decay(projector)]
        adam = torch.optim.AdamW(groups, lr=self.learning_rate, weight_decay=self.weight_decay)
        per_epoch = steps(len(learn), self.batch_size)
        total = self.epochs * per_epoch
        objective = Objective(student, scale, distillation, pictures, tokens[rows], crops, self.distillation)
        student.train()

        def resting(run: Run) -> None:
            if projector is not None:
                projector.last.requires_grad_(run.epoch >= self.rest_last)

        run = train(
            objective,
            name="rs-m-clip",
            nets={"student": student, "scale": scale, "distillation": distillation},
            optimizers={"adam": adam},
            schedulers={"rate": warm_cosine(adam, total, round(self.warm_up * total))},
            batches=sampler.batches(self.batch_size),
            epochs=self.epochs,
            steps_per_epoch=per_epoch,
            before_epoch=resting,
            after_step=lambda run: distillation.follow(student),
            clip=self.clip,
        )
        for towers in (student, distillation.teacher):
            with torch.no_grad():
                towers.logit_scale.copy_(scale().log())
            towers.requires_grad_(True).eval().cpu()
        self.history_: dict[str, NDArray[Any]] = {
            key: np.array([epoch[key] for epoch in run.history]) for key in run.history[0]
        }
        self.distilled_, self.steps_ = distil, total
        self.languages_ = sampler.languages
        self.drawn_ = {name: int((seen.language == name).sum()) for name in sampler.languages}
        self._choose(student, distillation.teacher, seen, tokens, held)
        self.monitors_ = watched(self.network_, seen, tokens, held if len(held) else learn)
        if crops is not None and distil:
            self.monitors_ |= taught(distillation, seen, learn, crops, self.batch_size)
        if seen.width:
            self.n_features_in_ = seen.width
        self._named(space, sentences)
        return self

    def adapt(self, *, classes: ClassSpace, prompts: Any = None) -> Self:
        """Name other classes to predict, in one language or several; see `fit`."""
        self._named(plain(classes), given_sentences(classes, prompts, self.source_language))
        return self

    def steps_of(self, pairs: Pairs) -> int:
        """How many steps an epoch of these pairs has."""
        return steps(len(self._held_out(self._seen(pairs))[0]), self.batch_size)

    # -- how it begins -------------------------------------------------------------------------------------

    def _seen(self, pairs: Pairs) -> Seen:
        """The pairs in the languages that are learnt, by picture."""
        drawings, _ = picture_side(pairs)
        texts = pairs.left if drawings is pairs.right else pairs.right
        if drawings.kind not in ("image", "features"):
            raise ValueError(f"pairs must hold pictures, or features of them, beside captions; got {drawings.kind}")
        language = languages_of(pairs, self.source_language)
        lacking = [name for name in self.languages if name not in language]
        if lacking:
            known = ", ".join(np.unique(language).tolist())
            raise ValueError(f"languages: pairs have no caption in {lacking[0]!r}; they are in {known}")
        kept = np.flatnonzero(np.isin(language, self.languages)) if self.languages else np.arange(len(pairs))
        pairs, drawings, texts = pairs.take(kept), drawings.take(kept), texts.take(kept)
        number, first = pictures_of(pairs, drawings.digests())
        if len(first) < 2:
            raise ValueError(f"pairs must hold at least two pictures that differ; got {len(first)}")
        return Seen(drawings.take(first).unlabeled(), np.asarray(texts.x), number, language[kept])

    def _begin(self, model: nn.Module, seen: Seen) -> Any:
        """A copy of the towers, all of which learn unless the user froze a part."""
        if not isinstance(model, TokenizingTowers):
            expected = "two towers with encode_image, encode_text, logit_scale and tokenize"
            raise TypeError(f"model must be {expected}, such as a DualEncoder; got {type(model).__name__}")
        towers: Any = copy.deepcopy(model)
        if not any(parameter.requires_grad for parameter in towers.parameters()):
            towers.requires_grad_(True)
        return towers

    def _crops(self, student: Any, seen: Seen) -> MultiCrop | None:
        """Views of pictures; None of features."""
        if seen.pictures.kind != "image":
            return None
        for name, (low, high) in {"wide_scale": self.wide_scale, "local_scale": self.local_scale}.items():
            if low > high:
                raise ValueError(f"{name} must be a share and a larger one; got {(low, high)}")
        shape = tuple(tensor(seen.pictures, np.arange(1)).shape[1:])
        if len(shape) != 3:
            raise ValueError(f"pairs must hold pictures as tensors (channels, height, width); got {shape}")
        if self.turns == "any" and shape[1] != shape[2]:
            raise ValueError(
                f"turns: quarters need square pictures; these have {shape[1]} x {shape[2]} pixels, for which there is "
                "turns='flips'"
            )
        size = self.local_size or max(round(3 / 7 * min(shape[1:])), 1)
        n_local = self.n_local if self.distillation else 0
        return MultiCrop(2, n_local, self.wide_scale, self.local_scale, size, self.turns)

    @torch.no_grad()
    def _try(self, student: Any, seen: Seen, tokens: Tensor, crops: MultiCrop | None) -> None:
        """One sample through each tower: what does not fit is named before training."""
        student.eval()
        try:
            first = tensor(seen.pictures, np.arange(1))
            p = student.encode_image(first)
            q = student.encode_text(tokens[:1])
        except (RuntimeError, IndexError, TypeError, AssertionError, ValueError) as error:
            raise ValueError(f"model cannot read the pairs: {error}") from error
        if p.shape != q.shape:
            raise ValueError(f"model must have towers into one space; got widths {p.shape[1]} and {q.shape[1]}")
        if crops is None or not crops.n_local:
            return
        try:
            student.encode_image(torch.zeros(1, first.shape[1], crops.local_size, crops.local_size))
        except (RuntimeError, AssertionError, ValueError) as error:
            raise ValueError(
                f"local_size: model cannot read pictures of {crops.local_size} pixels ({error}); name a size that it "
                "reads, such as that of the pictures, to which small crops are then enlarged"
            ) from error

    def _dim(self, student: Any, seen: Seen) -> int:
        with torch.no_grad():
            return int(student.eval().encode_image(tensor(seen.pictures, np.arange(1))).shape[1])

    def _held_out(self, seen: Seen) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Pictures to learn from and to choose by, by their content alone."""
        n = len(seen.pictures)
        every = np.arange(n)
        if not self.validation or n < FEWEST or self.keep != "better":
            return every, every[:0]
        place = np.argsort(seen.pictures.digests(), kind="stable")
        count = min(max(round(self.validation * n), 2), n - 2, ASKED)
        held = np.sort(place[:count])
        return np.setdiff1d(every, held), held

    # -- what is kept, and what is looked at ---------------------------------------------------------------

    def _choose(self, student: Any, teacher: Any, seen: Seen, tokens: Tensor, held: NDArray[np.int64]) -> None:
        """Student or teacher, by the mean over languages of the mean recall on pictures held out."""
        self.validation_: dict[str, dict[str, float]] = {}
        self.kept_ = "teacher" if self.keep == "teacher" else "student"
        if len(held):
            for name, towers in (("student", student), ("teacher", teacher)):
                z, captions = seen.encoded(towers, tokens, held)
                scores = by_language(z.numpy(), captions)
                self.validation_[name] = {language: figures["mean"] for language, figures in scores.items()}
            means = {name: float(np.mean([*of.values()])) for name, of in self.validation_.items()}
            self.kept_ = "teacher" if means["teacher"] > means["student"] else "student"
        self.network_ = teacher if self.kept_ == "teacher" else student

    # -- asking --------------------------------------------------------------------------------------------

    def _named(self, classes: ClassSpace, sentences: Sentences | None) -> None:
        self.classes_ = classes
        if sentences is None:
            sentences = {self.source_language: tuple((name,) for name in classes.names)}
        self.spoken_ = tuple(sentences)
        self.prototypes_ = prototypes(self.network_, sentences)

    def _check_fitted(self) -> Any:
        if "network_" not in vars(self):
            raise NotFittedError("this RSMCLIP has not been fitted; call fit first")
        return self.network_

    def encode_pictures(self, x: Any) -> Float[Tensor, "n d"]:
        """Unit vectors of pictures, or of features of them."""
        return in_parts(self._check_fitted().encode_image, x)

    def encode_text(self, texts: Any) -> Float[Tensor, "n d"]:
        """Unit vectors of texts in any language."""
        if isinstance(texts, str) or not len(texts):
            raise ValueError(f"texts must be at least one text, in a list; got {texts!r}")
        network = self._check_fitted()
        return in_parts(network.encode_text, network.tokenize([str(text) for text in texts]))

    @property
    def vectors_(self) -> Tensor:
        """Unit vectors of the classes, the ensemble of all languages, (k, d)."""
        return ensembled(self.prototypes_)

    def _vectors(self, language: str | None) -> Tensor:
        if language is None:
            return self.vectors_
        if language not in self.spoken_:
            raise ValueError(f"language must be one of {', '.join(self.spoken_)}, as in prompts; got {language!r}")
        return self.prototypes_[self.spoken_.index(language)]

    def decision_function(
        self, x: Any, classes: ClassSpace | None = None, language: str | None = None
    ) -> Float[Tensor, "n k"]:
        """s <z, w_k>, (n, k), of the classes that were named, or of others by their names.

        Parameters
        ----------
        language : str, optional
            Of the prompts; the ensemble of all of them if absent.
        """
        network = self._check_fitted()
        if classes is None:
            w = self._vectors(language)
        else:
            w = ensembled(prototypes(network, given_sentences(classes, None, self.source_language)))
        return network.logit_scale.detach().exp() * self.encode_pictures(x) @ w.T

    def predict_proba(
        self, x: Any, classes: ClassSpace | None = None, language: str | None = None
    ) -> Float[Tensor, "n k"]:
        """Probabilities of the classes, (n, k)."""
        return torch.softmax(self.decision_function(x, classes, language), dim=1)

    def predict(self, x: Any, classes: ClassSpace | None = None, language: str | None = None) -> NDArray[np.int64]:
        """Index of the likeliest class, (n,)."""
        return self.decision_function(x, classes, language).argmax(dim=1).numpy()

    def network(self) -> nn.Module:
        """The picture tower with the vectors of the classes."""
        network: Any = self.network_
        w = self.vectors_
        module = named_classes(network.image, w.shape[0], w.shape[1], float(network.logit_scale.detach().exp()))
        module.weights.copy_(w)
        return module
