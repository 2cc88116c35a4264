"""DAFOS-Net: prototypes that are meta-trained over two domains, and a judge of distances that rejects the unknown."""

import dataclasses
from typing import Annotated, Any, Literal, Self, overload

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from unseen.data.domain import Domain
from unseen.data.samplers import tensor
from unseen.methods.base import UNKNOWN, Card, Method
from unseen.methods.few_shot.dafosnet.encoder import SOURCE, TARGET, encoder, judge
from unseen.methods.few_shot.dafosnet.episodes import EpisodeSampler, joint_labels, largest_way, with_samples
from unseen.methods.few_shot.dafosnet.gan import HIGH, LOW, Collapse, feature_gan
from unseen.methods.few_shot.dafosnet.losses import (
    WEIGHTS,
    LossMode,
    OutlierInput,
    Weights,
    distances,
    outlier_features,
    prototypes,
)
from unseen.methods.few_shot.dafosnet.needs import DrawableEpisodes, of_the_source
from unseen.methods.few_shot.dafosnet.training import Networks, Settings, meta_train
from unseen.methods.parameters import Count, Natural, NonNegative, Positive, Unit, Within
from unseen.methods.verbs import gives

CHUNK = 256
MOST_CLASSES = 5
"""Known classes of a domain in an episode, where nothing is said."""
ABSENT = -1e4
"""Score of a class of which there is no labelled sample."""


class DAFOSNet(Method):
    """Name new classes from a few labels in a domain with few labels, and say which samples are of none of them [1].

    Episodes are drawn from a labelled source and a sparsely labelled target, whose classes are others. In each, both
    domains have known classes and pseudo-unknown ones. Features of known classes are joined by those that a low-noise
    GAN makes, unknown ones by those of a high-noise GAN. An encoder with batch normalization of its own for each domain
    is trained so that queries lie near the prototype of their class, a network on the distances to the prototypes tells
    known from unknown, and the mean prototypes of both domains are aligned. Then new classes need a few labels and no
    further training (`adapt`): their prototypes are class means.

    Parameters
    ----------
    way : int, >= 2, optional
        Known classes of each domain in an episode; as many as there can be, up to 5, if None.
    unknown : int, >= 1, optional
        Pseudo-unknown classes of each domain in an episode; as many as `way`, or as there can be, if None.
    source_shots, target_shots, queries : int, >= 1
        Samples of a class in an episode: in the support of the source and of the target, and asked about.
    epochs, fine_tune_epochs : int, >= 0
        Of ten episodes: of meta-training, and of its second stage, with twice the queries of the target at a tenth of
        the rate.
    learning_rate : float, > 0
        Of Adam, for the encoder and the two judges; it falls to a tenth in each stage.
    width, dim : int, >= 1
        Of the hidden layer and of the features.
    dsbn : bool
        Whether each domain has a batch normalization of its own.
    use_low_gan, use_high_gan : bool
        Whether features are made for prototypes, and as unknown ones.
    collapse_loss : {"aocmc", "aol", "none"}
        What keeps the two GANs apart: the paper's, or what the released code has active.
    reptile_alpha : float in [0, 1]
        How far the GANs go towards each of their steps; 1 is plain Adam.
    n_gan_rounds : int, >= 0
        Steps of each GAN in an episode.
    gan_learning_rate : float, > 0
        Of Adam, for the GANs.
    warm_up : int, >= 0
        Episodes at the beginning whose made features are not yet used.
    align : {"l2", "released", "none"}
        How the mean prototypes of both domains are aligned.
    outlier_input : {"summary", "sorted", "distances"}
        What the outlier network reads: the nearest and the second distance, their mean and their gap, which serves any
        number of classes; or all distances, sorted or in the order of the classes, for as many classes as `way`.
    loss_mode : {"paper", "released"}
        Compactness, diversification and weights as published, or as in the released code.
    weights : tuple of six float, >= 0, optional
        Of compactness, outlier network, domain network, diversification in source and target, alignment.
    margin : float, >= 0
        a of the diversification.
    kernel_penalty, activity_penalty : float, >= 0
        L1 on kernels and L2 on activity of the two judges.
    branch : {"target", "source"}
        Whose batch normalization reads the samples that are asked about.
    reject : bool
        Whether `predict` says "unknown" at all.

    Attributes
    ----------
    encoder_, outlier_ : Module
    low_gan_, high_gan_ : Module
        What made features in meta-training; nothing reads them afterwards.
    prototypes_ : Tensor (2, K, dim)
        Class means by the batch normalization of the source and of the target.
    present_ : Tensor (K,) of bool
        Classes with a labelled sample.
    way_ : int
    history_ : dict of array (epochs,)
        Mean of every loss, both stages.

    References
    ----------
    [1] Pal, More, Bhargav, Tamboli, Aggarwal, Banerjee, "Domain Adaptive Few-Shot Open-Set Learning", ICCV 2023.
    """

    card = Card(
        slug="dafosnet",
        rejects=True,
        cost=20.0,
        needs=(DrawableEpisodes(4, shots=(4, 1), queries=2),),
        title="Domain Adaptive Few-Shot Open-Set Learning",
        venue="ICCV 2023",
        official_code="DebabrataPal7/DAFOSNET",
        summary="Few-shot classification in a new domain that also rejects unknown classes.",
        unseen={"domains", "classes"},
        protocols={"closed", "partial", "open", "open-partial"},
        presets={
            "default": {},
            "no-rejection": {"reject": False},
            "paper": {
                "learning_rate": 1e-4,
                "gan_learning_rate": 1e-4,
                "reptile_alpha": 0.003,
                "way": 3,
                "unknown": 3,
                "kernel_penalty": 0.01,
                "activity_penalty": 0.001,
            },
        },
        on_request={"no-rejection", "paper"},
        at_prediction={"branch", "reject"},
        smoke={"epochs": 1, "fine_tune_epochs": 1, "n_gan_rounds": 1, "warm_up": 5, "width": 16, "dim": 8},
        parts=("unseen.evaluation.episodes.Episodes",),
        left_out=(
            "The convolutional encoder and its ResNet: features are those of a frozen encoder, and only two layers on "
            "top learn, with the domain-specific batch normalization on the last of them.",
            "The random 10-class label of the released GANs: a class is told by its number among all classes of "
            "meta-training, those of the target by numbers of their own, whatever their number.",
        ),
        notes=(
            "Confirmed twice, on other data each time: it names fewer samples of new classes right than prototypes of "
            "frozen features (.09 with one label, then .04), than prototypes in Fisher's discriminant space of the "
            "same samples (.10, .04), and with five labels tells known from unknown worse than both and than a linear "
            "probe (AUROC .80; .87, .84 and .84): two layers that learn from some twenty classes forget what the "
            "encoder knew. Grade both: `unseen episodes --unknown`.",
            "Features may be negative, so that the last layer of the generators is linear, not a ReLU.",
            "Gamma begins at 2.5: with the mean over dimensions and gamma 1 no softmax of distances gets sure.",
            "The discriminators have LeakyReLU, and the GANs Adam with betas (.5, .9) at a rate of .01 and "
            "Reptile's alpha 1: with ReLU they learnt no class in 2,000 rounds on made clouds, and at the published "
            "1e-4 and alpha .003 (preset `paper`) weights hardly move in a few hundred episodes.",
            "Both GANs learn from the features of known classes; what keeps the high-noise one apart is the "
            "collapse loss, which has no gradient for a discriminator, though it is a part of its loss.",
            "The outlier network reads four figures of the distances by default, so that any number of classes "
            "can follow; known and unknown count one half each. The penalties on its weights are 0: the published "
            "L1 of .01 makes it constant.",
            "The compactness is that of queries alone, of which there are the same with and without GANs.",
            "The second stage is described by one sentence: here the target has up to twice the queries, at a "
            "tenth of the rate.",
            "Where label sets overlap, as they do without `auxiliary`, known classes of both domains are still "
            "apart in every episode; an unknown class of one may then be a known one of the other.",
            "The released code grades the target's open accuracy by a wrong index and reuses the source's rows "
            "for unknown target pictures; neither is copied. The domain network is not reversed, as published.",
        ),
    )

    way: Annotated[int, Within(2)] | None = None
    unknown: Count | None = None
    source_shots: Count = 4
    target_shots: Count = 1
    queries: Count = 2
    epochs: Natural = 25
    fine_tune_epochs: Natural = 5
    learning_rate: Positive = 1e-3
    width: Count = 256
    dim: Count = 64
    dsbn: bool = True
    use_low_gan: bool = True
    use_high_gan: bool = True
    collapse_loss: Collapse = "aocmc"
    reptile_alpha: Unit = 1.0
    n_gan_rounds: Natural = 5
    gan_learning_rate: Positive = 1e-2
    warm_up: Natural = 50
    align: Literal["l2", "released", "none"] = "l2"
    outlier_input: OutlierInput = "summary"
    loss_mode: LossMode = "paper"
    weights: tuple[NonNegative, NonNegative, NonNegative, NonNegative, NonNegative, NonNegative] | None = None
    margin: NonNegative = 0.5
    kernel_penalty: NonNegative = 0.0
    activity_penalty: NonNegative = 0.0
    branch: Literal["target", "source"] = "target"
    reject: bool = True

    encoder_: Any = dataclasses.field(init=False)
    outlier_: Any = dataclasses.field(init=False)
    low_gan_: Any = dataclasses.field(init=False)
    high_gan_: Any = dataclasses.field(init=False)
    prototypes_: Tensor = dataclasses.field(init=False)
    present_: Tensor = dataclasses.field(init=False)
    way_: int = dataclasses.field(init=False)

    # -- learning ------------------------------------------------------------------------------------------

    @overload
    def fit(self, *, source: Domain, support: Domain) -> Self: ...
    @overload
    def fit(self, *, source: Domain, auxiliary: Domain, support: Domain | None = None) -> Self: ...
    def fit(self, *, source: Domain, support: Domain | None = None, auxiliary: Domain | None = None) -> Self:
        """Meta-train on source and target, then know the classes of the support.

        Parameters
        ----------
        source : Domain
            Labelled samples of a known domain.
        support : Domain
            A few labelled samples of the target, of the classes that are to be told; those of `auxiliary` if absent.
        auxiliary : Domain
            The sparsely labelled target of meta-training, of other classes than those to come. If absent, the support,
            where episodes can be drawn from it, else the source stands for it.
        """
        stages, target = self._planned(source, support, auxiliary)
        known = target if support is None else support
        if support is not None:
            self._check_way(known, stages[0].way)
        networks = self._networks(source, target, stages[0])
        networks.encoder.standardizer.measure(torch.cat([tensor(source), tensor(target)]), floor=0.05)
        history = []
        for number, (sampler, epochs) in enumerate(zip(stages, (self.epochs, self.fine_tune_epochs)), start=1):
            if epochs:
                rate = self.learning_rate * (1.0 if number == 1 else 0.1)
                history += meta_train(
                    networks,
                    source,
                    target,
                    sampler,
                    self._settings(),
                    name=f"dafosnet-{number}",
                    epochs=epochs,
                    rate=rate,
                )
        self.encoder_, self.outlier_ = networks.encoder.eval().cpu(), networks.outlier.eval().cpu()
        self.low_gan_, self.high_gan_ = networks.low.eval().cpu(), networks.high.eval().cpu()
        self.way_ = stages[0].way
        self.history_: dict[str, Any] = {
            key: np.array([row.get(key, np.nan) for row in history])
            for key in sorted({k for row in history for k in row})
        }
        self._know(known)
        return self

    def adapt(self, *, support: Domain) -> Self:
        """Step 15: know the classes of these labelled samples instead, without any training; a fitted copy."""
        width = self.encoder_.hidden[0].in_features
        if support.n_features != width:
            raise ValueError(f"support must have {width} features, as in fit; got {support.n_features}")
        self._check_way(support, self.way_)
        self._know(support)
        return self

    def _know(self, support: Domain) -> None:
        y = torch.as_tensor(support.labels)
        n_classes = len(support.classes) if support.classes is not None else int(y.max()) + 1
        x = tensor(support)
        self.prototypes_ = torch.stack([prototypes(self._embed(x, side), y, n_classes) for side in (SOURCE, TARGET)])
        self.present_ = torch.bincount(y, minlength=n_classes) > 0

    def _check_way(self, support: Domain, way: int) -> None:
        n = len(np.unique(support.labels))
        if self.outlier_input != "summary" and n != way:
            raise ValueError(
                f"support must have {way} classes, as the episodes of meta-training (outlier_input="
                f"{self.outlier_input!r}); got {n}: take outlier_input='summary' for any number, or way={n}"
            )

    # -- what episodes are drawn from ------------------------------------------------------------------------

    def _planned(
        self, source: Domain, support: Domain | None, auxiliary: Domain | None
    ) -> tuple[tuple[EpisodeSampler, EpisodeSampler], Domain]:
        """Samplers of both stages, and the target that they draw from."""
        shots, queries = (self.source_shots, self.target_shots), (self.queries, self.queries)
        if auxiliary is not None:
            target = auxiliary.take(auxiliary.labeled) if auxiliary.y is not None else auxiliary.take([])
            if auxiliary.task != "class" or not len(target):
                raise ValueError(
                    f"auxiliary must have labelled samples, of the target's other classes; got {auxiliary!r}"
                )
        else:
            assert support is not None
            poor = not largest_way(*joint_labels(source, support), shots, queries) >= (self.way or 2)
            target = source if poor else support
        labels = joint_labels(source, target)
        most = largest_way(*labels, shots, queries)
        if most < 2 and self.way is None:
            if auxiliary is None:
                needed = of_the_source(source, shots[0] + self.queries)
                raise ValueError(f"source: episodes need {needed}; add samples, or lower source_shots or queries")
            rich = [with_samples(y, n + self.queries) for y, n in zip(labels, shots)]
            raise ValueError(
                "source and auxiliary must have two known classes each, none the same, and an unknown one besides, "
                f"with {shots[0]} and {shots[1]} shots and {self.queries} queries; there are {len(rich[0])} and "
                f"{len(rich[1])} classes with so many samples, {len(np.union1d(*rich))} in all: add samples, or lower "
                "source_shots, target_shots or queries"
            )
        way = self.way or min(MOST_CLASSES, most)
        beside = min(len(with_samples(y, self.queries)) for y in labels) - way
        unknown = self.unknown or max(1, min(way, beside))
        first = EpisodeSampler(
            source=labels[0], target=labels[1], way=way, unknown=unknown, shots=shots, queries=queries
        )
        return (first, heavier(first)), target

    def _networks(self, source: Domain, target: Domain, sampler: EpisodeSampler) -> Networks:
        n_labels = sum(len(np.unique(domain.labels)) for domain in (source, target))
        n_inputs = 4 if self.outlier_input == "summary" else sampler.way
        return Networks(
            encoder(source.n_features, self.width, self.dim, self.dsbn),
            judge(n_inputs),
            judge(n_inputs),
            feature_gan(self.dim, n_labels, LOW),
            feature_gan(self.dim, n_labels, HIGH),
        )

    def _settings(self) -> Settings:
        return Settings(
            use_low_gan=self.use_low_gan,
            use_high_gan=self.use_high_gan,
            collapse=self.collapse_loss,
            alpha=self.reptile_alpha,
            rounds=self.n_gan_rounds if self.use_low_gan or self.use_high_gan else 0,
            gan_rate=self.gan_learning_rate,
            warm_up=self.warm_up,
            align=self.align,
            mode=self.loss_mode,
            outlier_input=self.outlier_input,
            weights=WEIGHTS[self.loss_mode] if self.weights is None else Weights(*self.weights),
            margin=self.margin,
            l1=self.kernel_penalty,
            activity=self.activity_penalty,
        )

    # -- what it is asked --------------------------------------------------------------------------------------

    def _embed(self, x: Tensor, side: int) -> Float[Tensor, "n d"]:
        with torch.no_grad():
            return torch.cat([self.encoder_.of(part, side) for part in torch.split(x, CHUNK)])

    def _distances(self, x: Tensor, side: int) -> Float[Tensor, "n k"]:
        """To the prototypes of the classes that have a labelled sample."""
        return distances(self._embed(x, side), self.prototypes_[side][self.present_])

    def _scores(self, x: Tensor, side: int) -> Float[Tensor, "n c"]:
        scores = torch.full((len(x), len(self.present_)), ABSENT)
        scores[:, self.present_] = -self._distances(x, side)
        return scores

    @property
    def _side(self) -> int:
        return SOURCE if self.branch == "source" else TARGET

    def decision_function(self, x: Tensor) -> Tensor:
        """Minus the distance to the prototype of each class, (n, C), also where the sample is rejected."""
        return self._scores(x, self._side)

    def source_decision_function(self, x: Tensor) -> Tensor:
        """The same for samples of the source, by its own batch normalization, (n, C)."""
        return self._scores(x, SOURCE)

    @gives("uncertainty")
    def uncertainty(self, x: Any) -> NDArray[np.float64]:
        """How likely each sample is of no class, (n,), by the outlier network; `predict` rejects above .5."""
        known = int(self.present_.sum())
        if self.outlier_input != "summary" and known != self.way_:
            raise ValueError(
                f"outlier_input={self.outlier_input!r} needs {self.way_} classes; {known} are known: call adapt with a "
                f"support of {self.way_}, or set reject=False"
            )
        features = outlier_features(self._distances(x, self._side), self.outlier_input)
        with torch.no_grad():
            return torch.softmax(self.outlier_(features).double(), dim=1)[:, 0].numpy()

    def predict(self, x: Any) -> NDArray[np.int64]:
        """The class with the nearest prototype, (n,); -1 (unknown) where the outlier network says so."""
        labels = self.decision_function(x).argmax(dim=1).numpy()
        if self.reject:
            labels[self.uncertainty(x) > 0.5] = UNKNOWN
        return labels


def heavier(sampler: EpisodeSampler) -> EpisodeSampler:
    """Episodes of the second stage: up to twice as many queries of the target, as far as its classes have them."""
    for queries in range(2 * sampler.queries[1], sampler.queries[1], -1):
        try:
            return dataclasses.replace(sampler, queries=(sampler.queries[0], queries))
        except ValueError:
            continue
    return sampler
