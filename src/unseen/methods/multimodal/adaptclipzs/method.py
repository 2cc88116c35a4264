"""AdaptCLIPZS: two towers learn from pictures of seen classes and bags of sentences, to know unseen classes better."""

import copy
import dataclasses
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from unseen.data.augment import jitter, random_flip, random_resized_crop
from unseen.data.classes import ClassSpace
from unseen.data.descriptions import DescriptionBank, Rule, Sentence, Sentences, check_template
from unseen.data.domain import Domain
from unseen.data.samplers import Batch, batches, class_batches, class_steps, steps
from unseen.methods.base import Card, Method
from unseen.methods.multimodal.adaptclipzs.bags import Bags
from unseen.methods.multimodal.adaptclipzs.groups import Scope, parameter_groups
from unseen.methods.multimodal.adaptclipzs.losses import Temperature, bag_loss, pair_loss
from unseen.methods.multimodal.adaptclipzs.rule import Pool, SentenceClasses, pooled, sentence_classes
from unseen.methods.needs import NamedTowers
from unseen.methods.parameters import Count, Natural, NonNegative, Positive
from unseen.nn.dual_encoder import dual_encoder, in_parts, side_head
from unseen.nn.prompting import PromptableTowers
from unseen.nn.protocols import TokenizingTowers
from unseen.nn.schedules import warm_restarts
from unseen.nn.softmax import NEVER
from unseen.nn.train import Run, train
from unseen.nn.unseen_classes import seen_classes

log = logging.getLogger(__name__)

BETAS, EPS = (0.9, 0.98), 1e-6
"""Of AdamW."""
TEMPERATURE_DECAY = 1e-6
FIRST, GROWTH = 10, 2
"""Epochs of the first cosine of the rates, and how much longer the next one is."""


class AdaptCLIPZS(Method):
    """Fine-tune an image-text model on seen classes with bags of sentences, for better unseen classes [1].

    Which sentence of a class fits a picture is not known; that all are of its class is. Each picture of a batch comes
    with a sentence drawn from its class's bag, anew each time, and with S_ij = s <z_i, w_j> / T

        L = mean_i -(1 / |P(i)|) sum_{j in P(i)} log softmax_j(S_i)  +  the same of S^T,

    where P(i) are all of the class of i. A class is then predicted by all of its sentences: a softmax over those of all
    candidates together (at s, without T), and the mean of the probabilities of each class's. Any class with a name can
    be asked about; sentences make it better, retraining is not needed.

    Parameters
    ----------
    loss : {"bag", "pair"}
        L, or the same with its own sentence alone right for a picture (CLIP's, for comparison).
    train_scope : {"reference", "all"}
        What of the towers trains: what the released code's filter leaves (not attention's matrices, nor the second ones
        of perceptrons), or all.
    template : str
        What goes before each sentence, with a place {} for the name.
    cleaning : {"plain", "two-words", "inaturalist"}
        `DescriptionBank.clean`.
    sources : {"all", "names", "description", "visual", "location", "taxonomy", "gloss"}
        Which sentences count, by where they are from; a class without such a sentence has the template alone, and with
        "names" all have. Of the classes of `fit` one must have such a sentence.
    named : bool
        Whether the template, and with it the name, goes before each sentence.
    pool : {"mean_prob", "mean_logit", "mean_embedding"}
        What is averaged over the sentences of a class in a prediction. May be changed after `fit`.
    generalized : bool
        Predict among all classes (GZSL), or among the unseen ones (ZSL) if there are some. May be changed after `fit`.
    handicap : float, >= 0
        Taken from the log-probability of seen classes in GZSL (calibrated stacking). May be changed after `fit`.
    hidden : int, >= 1
        Width of the layers beside frozen towers, where those are given and not towers that train.
    tau : float, > 0
        T at first.
    learning_rate, projection_rate, temperature_rate : float, > 0
        Of AdamW for the towers, for their last matrices, and for T, which stays above a hundredth of `tau`.
    weight_decay : float, >= 0
        Not of T, which has 1e-6.
    shots : int, >= 0
        Samples of each class that are learnt from, at most; 0 takes all.
    order : {"shuffled", "balanced", "classes"}
        Of samples in batches: at random, `each` of a class together, or class after class as in the released code.
    each : int, >= 1
        Samples of a class in a balanced batch; all of a class that has fewer.
    epochs : int, >= 0
        With 0 nothing is learnt: the towers as they are, with sentences.
    batch_size : int, >= 1

    Attributes
    ----------
    network_ : Module
        The towers.
    classes_ : ClassSpace
        Those that are predicted.
    bags_ : dict of str to tuple of (text, source, cut)
        The cleaned sentences.
    vectors_ : Tensor (m, d)
        Of all different sentences of the candidates.
    rows_, columns_ : Tensor (e,)
        Class `rows_[i]` has sentence `columns_[i]`.
    seen_ : Tensor (k,)
        Whether a class was learnt from.
    history_ : dict of arrays (epochs,)
        `loss` and `temperature`.

    References
    ----------
    [1] Saha, Van Horn, Maji, "Improved Zero-Shot Classification by Adapting VLMs with Text Descriptions", CVPR 2024.
    """

    card = Card(
        slug="adaptclipzs",
        cost=8.0,
        title="Improved Zero-Shot Classification by Adapting VLMs with Text Descriptions",
        venue="CVPR 2024",
        official_code="cvl-umass/AdaptCLIPZS",
        summary="Fine-tune an image-text model on seen classes with bags of descriptions, for better unseen classes.",
        unseen={"classes"},
        modalities={"features", "image"},
        protocols={"zsl", "gzsl"},
        needs=(NamedTowers(),),
        presets={
            "default": {},
            "generalized": {"generalized": True, "handicap": 2.0},
            "paper": {
                "train_scope": "reference",
                "tau": 2.0,
                "learning_rate": 1e-7,
                "projection_rate": 5e-7,
                "temperature_rate": 1e-2,
                "weight_decay": 1e-2,
                "epochs": 15,
                "batch_size": 256,
                "order": "shuffled",
            },
            "natural": {
                "train_scope": "reference",
                "tau": 1.3,
                "learning_rate": 1e-7,
                "projection_rate": 6e-7,
                "temperature_rate": 1e-2,
                "weight_decay": 1e-1,
                "epochs": 15,
                "batch_size": 128,
                "order": "shuffled",
                "cleaning": "inaturalist",
            },
        },
        at_prediction={"pool", "generalized", "handicap"},
        on_request={"paper", "natural"},
        smoke={"epochs": 1, "hidden": 8, "batch_size": 16},
        parts=(
            "unseen.data.descriptions.DescriptionBank",
            "unseen.nn.contrastive.contrastive",
            "unseen.nn.dual_encoder.DualEncoder",
            "unseen.encoders.trainable.whole_towers",
            "unseen.encoders.trainable.tower_heads",
        ),
        left_out=(
            "The fourteen data sets and CLIP's weights: neither is at hand. `fit` takes any of their folders with any "
            "open_clip model (`whole_towers`, preset `paper` or `natural`).",
            "The description adapter (VDT-adapter): of the methods that the paper compares with, plain zero-shot and "
            "prompt tuning (`coop`) are here.",
        ),
        notes=(
            "The defaults are for small layers beside frozen towers, which have no weights of the name 'proj'; `paper` "
            "and `natural` are the published ones for whole towers, whose rates of 1e-7 would not move such layers.",
            "The released loader does not shuffle, so that batches hold few classes; here they hold four samples of "
            "each of their classes, and in the published presets samples are shuffled (`order`).",
            "The released code's filter by the letters 'proj' also rests attention and half of each perceptron; the "
            "paper speaks of fine-tuning (`train_scope`).",
            "Sentences that two classes share are one column of the softmax, and count for both.",
            "The towers train in eval mode: dropout rests and BatchNorm keeps its statistics. CLIP has neither.",
            "What is gained on new classes near to the seen ones is paid for elsewhere: `unseen reproduce adaptclipzs` "
            "also asks about things of other kinds, where the tuned towers are far below those that were not tuned.",
            "The cases of the evidence are fifths of one set of emoji, each unseen once: they share none of these, but "
            "most seen classes and the towers, so that intervals say nothing of other kinds of things.",
            "Calibrated stacking (`handicap`) is no part of the paper, which predicts among unseen classes alone.",
        ),
    )  # fmt: skip

    loss: Literal["bag", "pair"] = "bag"
    train_scope: Scope = "all"
    template: str = "a photo of a {}."
    cleaning: Rule = "plain"
    sources: Literal["all", "names", "description", "visual", "location", "taxonomy", "gloss"] = "all"
    named: bool = True
    pool: Pool = "mean_prob"
    generalized: bool = False
    handicap: NonNegative = 0.0
    hidden: Count = 256
    tau: Positive = 2.0
    learning_rate: Positive = 2e-3
    projection_rate: Positive = 2e-3
    temperature_rate: Positive = 1e-2
    weight_decay: NonNegative = 1e-2
    shots: Natural = 0
    order: Literal["shuffled", "balanced", "classes"] = "balanced"
    each: Count = 4
    epochs: Natural = 30
    batch_size: Count = 128

    network_: nn.Module = dataclasses.field(init=False)

    # -- learning ------------------------------------------------------------------------------------------

    def fit(self, *, source: Domain, classes: ClassSpace, encoder: Any, prompts: Any = None) -> Self:
        """Learn from pictures of seen classes.

        Parameters
        ----------
        source : Domain
            Labelled pictures, or features that the image tower reads.
        classes : ClassSpace
            All classes to predict, seen and unseen; what they describe are the sentences where `prompts` are absent.
        encoder : DualEncoder or PromptableTowers
            Towers that train whole (a copy; `unseen.encoders.trainable`), or frozen ones whose space `source` lies in,
            beside which small layers train (`unseen.encoders.trainable.shared_space`).
        prompts : DescriptionBank or mapping, optional
            The bags, by class name.
        """
        check_template(self.template)
        bank = self._bank(classes, prompts)
        network = self._towers(encoder, source)
        present = seen_classes(source, classes)
        sentences = bank.sentences(classes.names, self.template, named=self.named)
        texts = _sentence_tokens(network, encoder, sentences)
        self.history_: dict[str, NDArray[Any]] = {}
        if self.epochs:
            self.history_ = self._train(network, self._few(source), sentences, texts)
        self.network_ = network.eval()
        self.classes_ = classes
        self.bags_ = {name: tuple(tuple(s) for s in bag) for name, bag in bank.bags.items()}
        self.seen_ = torch.as_tensor(np.isin(np.arange(len(classes)), present))
        self.rows_, self.columns_ = torch.as_tensor(sentences.rows), torch.as_tensor(sentences.columns)
        with torch.no_grad():
            self.vectors_: Tensor = in_parts(self.network_.encode_text, texts)  # type: ignore[arg-type]
        return self

    def _bank(self, classes: ClassSpace, prompts: Any, known: Sequence[str] = ()) -> DescriptionBank:
        """Step 1, 2 and 11: the cleaned bags, of the sources that count.

        `known` are the classes of `fit` where others are asked about: a bag of theirs is no mistake.
        """
        bank = DescriptionBank.of_classes(classes) if prompts is None else prompts
        if isinstance(bank, Mapping):
            bank = DescriptionBank(bank)
        if not isinstance(bank, DescriptionBank):
            raise TypeError(
                f"prompts must be a DescriptionBank, or a mapping from names to sentences; got {prompts!r:.60}"
            )
        strange = sorted(set(bank.bags) - set(classes.names) - set(known))
        if strange:
            log.warning("%d of %d bags of prompts are of names that no class has, such as %r: they are not used",
                        len(strange), len(bank), strange[0])  # fmt: skip
        bank = DescriptionBank({name: bank[name] for name in classes.names}).clean(self.cleaning)
        if self.sources == "names":
            return DescriptionBank(dict.fromkeys(classes.names, ()))
        lacking = bank.lacking(classes.names)
        if lacking and len(lacking) < len(classes):
            log.info("%d of %d classes have no sentence, such as %r: their names stand for them",
                     len(lacking), len(classes), lacking[0])  # fmt: skip
        if self.sources == "all":
            return bank
        if known:  # what is said of other classes may be from other sources: their names stand for them
            return bank.only(*(source for source in bank.sources if source == self.sources))
        return bank.only(self.sources)

    def _towers(self, encoder: Any, source: Domain) -> Any:
        """A copy of towers that train, or layers beside frozen ones that change nothing at first."""
        if isinstance(encoder, PromptableTowers):
            width = encoder.image.dim
            if encoder.image.width != width or encoder.reader is None:
                raise ValueError("encoder must read features of its own shared space, as unseen.encoders.trainable."
                                 "shared_space makes it; got towers that are read layer by layer")  # fmt: skip
            if source.kind != "features" or source.n_features != width:
                raise ValueError(f"source must hold features of the encoder's space, of width {width}; got {source!r}")
            image, text = (side_head(None, width, width, self.hidden) for _ in range(2))
            towers: Any = dual_encoder(image, text, encoder.reader.to_json(), float(encoder.logit_scale.exp()))
            towers.reader = encoder.reader
            return towers.eval()
        if not isinstance(encoder, TokenizingTowers):
            expected = "two towers with encode_image, encode_text, logit_scale and tokenize, or PromptableTowers"
            raise TypeError(f"encoder must be {expected}; got {type(encoder).__name__}")
        network: Any = copy.deepcopy(encoder).eval()  # type: ignore[attr-defined]
        self._check_reads(network, source)
        if not any(p.requires_grad for name, p in network.named_parameters() if name != "logit_scale"):
            network.requires_grad_(True)  # frozen for inference, as `Encoder` has them
        return network

    @staticmethod
    def _check_reads(network: Any, source: Domain) -> None:
        """The image tower reads samples of the source."""
        from unseen.data.samplers import tensor

        x = tensor(source, slice(0, 1))
        try:
            with torch.no_grad():
                network.encode_image(x)
        except RuntimeError as error:
            message = f"source must hold what the encoder's image tower reads; it does not read {tuple(x.shape[1:])}"
            raise ValueError(f"{message}: {str(error).splitlines()[0]}") from error

    def _few(self, source: Domain) -> Domain:
        """At most `shots` samples of each class."""
        if not self.shots:
            return source
        order = np.random.default_rng(self.random_state).permutation(len(source))
        kept = [order[source.labels[order] == label][: self.shots] for label in np.unique(source.labels)]
        return source.take(np.sort(np.concatenate(kept)))

    def _train(self, network: Any, source: Domain, said: Sentences, texts: Tensor) -> dict[str, NDArray[Any]]:
        """Steps 3 to 6."""
        temperature = Temperature(self.tau)
        groups = parameter_groups(
            [(name, p) for name, p in network.named_parameters() if p.requires_grad], self.train_scope,
            rates=(self.learning_rate, self.projection_rate), weight_decay=self.weight_decay,
        )  # fmt: skip
        groups.append({"params": [temperature.value], "lr": self.temperature_rate, "weight_decay": TEMPERATURE_DECAY,
                       "name": "temperature"})  # fmt: skip
        adam = torch.optim.AdamW(groups, betas=BETAS, eps=EPS)
        size = min(self.batch_size, len(source))
        each = min(self.each, size)
        balanced = self.order == "balanced"
        per_epoch = class_steps(source.labels, size, each) if balanced else steps(len(source), size)
        bags = Bags(said, int(source.labels.max()) + 1, texts)
        loss = bag_loss if self.loss == "bag" else pair_loss

        def objective(batch: Batch, run: Run) -> Tensor:
            assert batch.y is not None
            drawn = bags.draw(batch.y, run.generator)
            z, w = network.encode_image(batch.x), network.encode_text(drawn)
            logits = temperature(network.logit_scale.exp() * z @ w.T)
            run.log(temperature=temperature.value)
            return loss(logits, batch.y) if self.loss == "bag" else loss(logits)  # type: ignore[call-arg]

        augment = _views if source.kind == "image" else None
        by_class = source.take(np.argsort(source.labels, kind="stable")) if self.order == "classes" else source
        stream = (
            class_batches(source, size, each, augment=augment) if balanced
            else batches(by_class, size, shuffle=self.order == "shuffled", augment=augment)
        )  # fmt: skip
        run = train(
            objective,
            name="adaptclipzs",
            nets={"towers": network, "temperature": temperature, "bags": bags},
            optimizers={"adam": adam},
            schedulers={"rate": warm_restarts(adam, per_epoch, FIRST, GROWTH)},
            batches=stream,
            epochs=self.epochs,
            steps_per_epoch=per_epoch,
            after_step=lambda _: temperature.hold(),
        )
        network.requires_grad_(True).cpu()
        return {key: np.array([epoch[key] for epoch in run.history]) for key in run.history[0]}

    # -- asking --------------------------------------------------------------------------------------------

    def decision_function(
        self, x: Tensor, classes: ClassSpace | None = None, prompts: Any = None
    ) -> Float[Tensor, "n k"]:
        """Scores of classes, whose softmax is the mean probability of their sentences over the sum of these, (n, k).

        Parameters
        ----------
        x : Tensor
        classes : ClassSpace, optional
            Any classes with names, also such as `fit` did not know: all of them are candidates. Those of `fit` if
            absent.
        prompts : DescriptionBank or mapping, optional
            The bags of these classes; what they describe if absent, or what `fit` was given of classes of that name.
        """
        network: Any = self.network_
        z = in_parts(network.encode_image, x)
        scale = float(network.logit_scale.detach().exp())
        if classes is None and prompts is None:
            vectors, rows, columns = self._candidates()
            scores = pooled(z, vectors, rows, columns, len(self.classes_), scale, self.pool)
            return (scores + self._offset()).clamp_min(NEVER)
        candidates = classes or self.classes_
        sentences = self._asked(candidates, prompts).sentences(candidates.names, self.template, named=self.named)
        vectors = in_parts(network.encode_text, network.tokenize(sentences.texts))
        return pooled(
            z,
            vectors,
            torch.as_tensor(sentences.rows),
            torch.as_tensor(sentences.columns),
            len(candidates),
            scale,
            self.pool,
        )

    def _asked(self, classes: ClassSpace, prompts: Any) -> DescriptionBank:
        if prompts is not None or self.sources == "names":
            return self._bank(classes, prompts, self.classes_.names)
        bank = self._bank(classes, None, self.classes_.names)
        known = {name: [Sentence(*s) for s in bag] for name, bag in self.bags_.items()}
        return DescriptionBank({name: bank[name] or known.get(name, ()) for name in classes.names})

    def _allowed(self) -> Tensor:
        """Which classes are candidates: all, or the unseen ones where there are some and nothing else is asked."""
        unseen = torch.ones_like(self.seen_).index_fill(0, torch.as_tensor(self.classes_.seen), False)
        return unseen if bool(unseen.any()) and not self.generalized else torch.ones_like(unseen)

    def _candidates(self) -> tuple[Tensor, Tensor, Tensor]:
        """The sentences of the candidates alone: they share one softmax."""
        keep = self._allowed()[self.rows_]
        used, columns = torch.unique(self.columns_[keep], return_inverse=True)
        return self.vectors_[used], self.rows_[keep], columns

    def _offset(self) -> Float[Tensor, " k"]:
        handicap = torch.where(self.seen_, -self.handicap if self.generalized else 0.0, 0.0)
        return torch.where(self._allowed(), handicap, NEVER)

    def predict_proba(self, x: Tensor, classes: ClassSpace | None = None, prompts: Any = None) -> Float[Tensor, "n k"]:
        """Probabilities of the classes asked about, (n, k)."""
        return torch.softmax(self.decision_function(x, classes, prompts), dim=1)

    def predict(self, x: Tensor, classes: ClassSpace | None = None, prompts: Any = None) -> NDArray[np.int64]:
        """Index of the likeliest of the classes asked about, (n,)."""
        return self.decision_function(x, classes, prompts).argmax(dim=1).numpy()

    def network(self) -> nn.Module:
        """The image tower with the vectors of all candidates' sentences."""
        network: Any = self.network_
        vectors, rows, columns = self._candidates()
        module: Any = sentence_classes(
            network.image, len(vectors), len(rows), len(self.classes_), vectors.shape[1],
            float(network.logit_scale.detach().exp()), self.pool,
        )  # fmt: skip
        module.image.load_state_dict(network.image.state_dict())
        assert isinstance(module, SentenceClasses)
        module.vectors, module.rows, module.columns, module.offset = vectors, rows, columns, self._offset()
        return module


def _sentence_tokens(network: Any, encoder: Any, said: Sentences) -> Tensor:
    """All sentences as the text tower reads them; those that are cut are told."""
    reader: Any = getattr(network, "reader", None)
    cut = reader.cuts(said.texts) if hasattr(reader, "cuts") else []
    if any(cut):
        first = said.texts[cut.index(True)]
        log.warning("%d of %d sentences are longer than the text tower reads and are cut, such as %.60r",
                    sum(cut), len(said.texts), first)  # fmt: skip
    if isinstance(encoder, PromptableTowers):
        return encoded(encoder, said.texts)
    return network.tokenize(said.texts)


@torch.no_grad()
def encoded(towers: PromptableTowers, texts: Sequence[str], at_once: int = 256) -> Float[Tensor, "n d"]:
    """Unit vectors of texts, some at a time."""
    return torch.cat([towers.encode_texts(texts[i : i + at_once]) for i in range(0, len(texts), at_once)])


def _views(x: Tensor, generator: torch.Generator) -> Tensor:
    """Random resized crops, flips, and colours jittered by .4."""
    return jitter(
        random_flip(random_resized_crop(x, generator, scale=(0.08, 1.0)), generator), generator, strength=0.4, grey=0.0
    )
