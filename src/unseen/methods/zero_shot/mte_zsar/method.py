"""The method: weigh what there is to learn from, learn the map, match."""

import dataclasses
import logging
from typing import Annotated, Literal, Self

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.methods.base import Card, Method
from unseen.methods.parameters import Count, Natural, NonNegative, Positive, Within
from unseen.methods.verbs import gives
from unseen.methods.zero_shot.mte_zsar import regressors
from unseen.methods.zero_shot.mte_zsar.choice import Setting, cross_validate, settings
from unseen.methods.zero_shot.mte_zsar.regressors import Factors, Moments, latent_prototypes, moments
from unseen.methods.zero_shot.mte_zsar.weights import relevance
from unseen.nn.density_ratio import effective_size
from unseen.nn.semantic import self_trained
from unseen.nn.semantic_network import SemanticNetwork, centred, normalized, semantic_network
from unseen.nn.unseen_classes import candidates, class_vectors

SCALE = 20.0  # of the cosines in the softmax
FEW = 0.1  # of the samples: a smaller effective size is told

log = logging.getLogger(__name__)


class MTEZSAR(Method):
    """Regress class vectors on features through few latent tasks, from samples weighted by relevance [1].

    Every entry of a class vector is a task; the map from features to all of them is S A, with k latent tasks
    between. Seen classes teach it, and so do the classes of an augmentation pool, whose samples count by how likely
    they are under the target. A sample is of the class that lies nearest, among the latent tasks or as a vector.

        min_{S,A} 1/n sum_i omega_i ||z_i - S A x_i||^2 + penalty_s ||S||^2 + penalty_a ||A||^2

    Without a `target` the protocol is inductive: weights come from the vectors of the unseen classes alone, and
    neither self-training nor the hub correction takes place. With a `target`, the pool to label, it is transductive:
    weights, prototypes and hub correction are estimated from the pool's unlabelled features, and its labels are in
    `transduction_`; `predict` then judges single samples by what the pool left behind.

    Parameters
    ----------
    mapping : {"mte", "ridge", "rmtl", "gomtl"}
        The proposed low-rank map; ridge regression; tasks around a shared mean; a sparse S. `rmtl` takes
        `penalty_s` for what tasks share and `penalty_a` for what they do not, `ridge` takes `penalty_a` alone.
    matching : {"latent", "word"}
        Compare among the latent tasks, or as class vectors. `ridge` and `rmtl` have no latent tasks but the entries
        of the class vectors.
    tasks : int or None
        Latent tasks k of `mte` and `gomtl`, at most the rank of the vectors of the training classes.
    penalty_s, penalty_a : float, > 0, or None
        Of S and A, per sample. What is None, `tasks` too, is chosen by holding out seen classes.
    weights : {"auto", "category", "visual", "full", "none"}
        By what training samples are weighted: class vectors, features of the `target`, the product of both ratios,
        nothing. `auto` is `category` if there is an `auxiliary` pool, else `none`; `full` without a `target` is
        `category`.
    self_training : int
        Each prototype of an unseen class moves to the mean of so many nearest pool samples, K; 0 for none. It should
        not be far above the number of pool samples per class; the paper has 100.
    hubs : bool
        Divide similarities with a class by their norm over the pool, if it has more than one sample.
    power : float in (0, 1]
        Of the signed power normalisation of features; rows then get unit length.
    generalized : bool
        Predict among all classes (GZSL) or among the unseen ones (ZSL).
    handicap : float, >= 0
        Taken from the cosine of seen classes in GZSL (calibrated stacking).
    centres : int
        Kernels of the density ratio.
    iterations : int
        At most so many rounds of the two closed forms.

    Attributes
    ----------
    s_, a_ : Tensor (t, k) and (k, d)
        The map. `transform` gives A x, or S A x if matching by word.
    setting_ : dict
        Parameters used, of those that `mapping` reads: `tasks`, `penalty_s`, `penalty_a`.
    history_ : tuple of float
        The objective after every half step.
    weights_ : Tensor (n,)
        Of the source samples, then of the auxiliary ones, in their order; their mean is 1.
    relevance_ : dict
        Mean weight of each data set: of ``source``, and of each value of the column `domain` of the auxiliary data.
    effective_size_ : float
        (sum omega)^2 / sum omega^2.
    transduction_ : array (n_target,)
        Labels of the pool, if there was a `target`.

    Notes
    -----
    Labels of all inputs index one space of classes. `classes.seen` are those that `source` or `auxiliary` has
    samples of: join the spaces with `unseen.data.classes.join` and rewrite labels with `realign`. Class vectors
    are the attributes, else the embeddings; `unseen.data.word_vectors.name_vectors` makes them from word vectors.

    The features of the paper (improved trajectories as Fisher vectors, of HMDB51, UCF101, Olympic Sports and CCV)
    come as a matrix of samples and a vector of label numbers: `unseen.load("hmdb51.mat")` reads them from a MATLAB
    file with `features` and `labels`, or from .npz, Parquet or CSV; the names stand beside, in the order of the
    numbers. Fifty random halves of the classes are its splits.

    References
    ----------
    [1] Xu, Hospedales, Gong, "Multi-Task Zero-Shot Action Recognition with Prioritised Data Augmentation",
        ECCV 2016.
    """

    card = Card(
        slug="mte-zsar",
        title="Multi-Task Zero-Shot Action Recognition with Prioritised Data Augmentation",
        venue="ECCV 2016",
        summary="Recognize classes that only have a name vector, by a low-rank map learnt from relevant samples.",
        unseen={"classes"},
        modalities={"features"},
        protocols={"zsl", "gzsl"},
        presets={
            "default": {},
            "inductive": {"weights": "none", "self_training": 0, "hubs": False},
            "transductive": {"weights": "full", "self_training": 10, "hubs": True},
            "generalized": {"generalized": True, "handicap": 0.1},
        },
        smoke={"tasks": 4, "penalty_s": 1e-3, "penalty_a": 1e-3, "self_training": 3},
        parts=(
            "unseen.nn.density_ratio",
            "unseen.nn.semantic",
            "unseen.nn.semantic_network",
            "unseen.nn.unseen_classes",
            "unseen.data.word_vectors",
        ),
        left_out=(
            "Improved dense trajectories and Fisher vectors: any feature matrix is read, one row per video.",
            "Unit length per descriptor before concatenation: the features are taken as one block.",
        ),
        notes=(
            "Two protocols: without `target` inductive, with it transductive. The pool's features are used, its labels "
            "are removed before.",
            "No public code is known; constants (kernel widths, centres, grids, iterations) are ours.",
            "The weights of `full` are the product of a ratio of features and one of class vectors, at mean 1. With "
            "a small pool the product rests on few samples (`effective_size_`), and weights of the samples of few seen "
            "classes can do harm: the default is `category` with an augmentation pool and none without.",
            "The cross-validation over seen classes learns from weighted samples; held-out classes count alike.",
            "Self-training moves the prototypes of unseen classes only, as a pool may hold no sample of seen ones.",
            "GOMTL takes ten proximal steps of the lasso per round, not its solution.",
            "HMDB51, UCF101 and Olympic Sports features are read by `unseen.load` from MATLAB (-v7, `features` and "
            "`labels`), .npz or tables; they are in no package, so nothing was run on them here.",
        ),
        cost=8.0,
    )

    mapping: Literal["mte", "ridge", "rmtl", "gomtl"] = "mte"
    matching: Literal["latent", "word"] = "latent"
    tasks: Count | None = None
    penalty_s: Positive | None = None
    penalty_a: Positive | None = None
    weights: Literal["auto", "category", "visual", "full", "none"] = "auto"
    self_training: Natural = 0
    hubs: bool = True
    power: Annotated[float, Within(0, 1, open_low=True)] = 1.0
    generalized: bool = False
    handicap: NonNegative = 0.0
    centres: Count = 200
    iterations: Count = 50

    network_: SemanticNetwork = dataclasses.field(init=False)
    s_: Tensor = dataclasses.field(init=False)
    a_: Tensor = dataclasses.field(init=False)
    weights_: Tensor = dataclasses.field(init=False)

    def fit(
        self, *, source: Domain, classes: ClassSpace, auxiliary: Domain | None = None, target: Domain | None = None
    ) -> Self:
        """Learn from samples of seen classes and of the augmentation pool; label the pool `target` if given."""
        allowed = candidates(source, classes, self.generalized)
        vectors = class_vectors(classes)
        x, y, names = self._gather(source, classes, auxiliary)
        x, centre = centred(x)  # step 2
        pool = None if target is None else self._normalized(target) - centre
        mode = self.weights if self.weights != "auto" else "none" if auxiliary is None else "category"
        weights = relevance(
            mode, x, vectors[y], pool, vectors[allowed], centres=self.centres, random_state=self.random_state
        )
        setting, factors = self._learn(x, y, vectors, weights)
        self.s_, self.a_, self.history_ = factors.s.float(), factors.a.float(), factors.history
        read = {"ridge": ("penalty_a",), "rmtl": ("penalty_s", "penalty_a")}.get(self.mapping, Setting._fields)
        self.setting_ = {name: value for name, value in setting._asdict().items() if name in read}
        self.weights_, self.effective_size_ = weights.float(), effective_size(weights)
        if self.effective_size_ < FEW * len(x):
            log.warning("weights=%r: %d samples are worth %.0f; a few decide", mode, len(x), self.effective_size_)
        self.relevance_ = {str(name): float(weights[names == name].mean()) for name in np.unique(names)}
        network = self._network(factors, setting, vectors, centre)
        among, seen = (torch.as_tensor(np.isin(np.arange(len(classes)), some)) for some in (allowed, source.labels))
        network.allow(among, seen, self.handicap)
        if target is not None:
            self.transduction_ = self._transduce(network, torch.as_tensor(target.x).float(), classes.unseen)
        self.network_ = network
        return self

    def decision_function(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n c"]:
        """Scaled cosines with all classes, (n, n_classes); others than asked for score -2e5."""
        return self.network_(x)

    @gives("features")
    def transform(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n q"]:
        """The latent code of each sample, or its predicted class vector if matching by word."""
        return self.network_.embed(x)

    def network(self) -> nn.Module:
        """From features to scores of all classes."""
        return self.network_

    # -- the parts -------------------------------------------------------------------------------------------

    def _gather(
        self, source: Domain, classes: ClassSpace, auxiliary: Domain | None
    ) -> tuple[Tensor, np.ndarray, np.ndarray]:
        """Features, labels and data set of all training samples."""
        x, y, names = self._normalized(source), source.labels, np.repeat("source", len(source))
        if auxiliary is None:
            return x, y, names
        if not auxiliary.labeled.all():
            missing = len(auxiliary) - int(auxiliary.labeled.sum())
            raise ValueError(f"auxiliary must be labelled; {missing} of its {len(auxiliary)} samples have no label")
        overlap = np.intersect1d(auxiliary.labels, classes.unseen)
        if len(overlap):
            raise ValueError(
                f"auxiliary must not hold unseen classes; it has samples of {classes.names[overlap[0]]!r}. Take them "
                "out, or let classes.seen have them"
            )
        named = auxiliary.columns.get("domain", np.repeat(auxiliary.name, len(auxiliary)))
        y = np.concatenate([y, auxiliary.labels])
        return torch.cat([x, self._normalized(auxiliary)]), y, np.concatenate([names, named])

    def _normalized(self, domain: Domain) -> Float[Tensor, "n d"]:
        return normalized(torch.as_tensor(domain.x).double(), self.power)

    @property
    def _latent(self) -> bool:
        return self.matching == "latent" and self.mapping in ("mte", "gomtl")

    def _learn(self, x: Tensor, y: np.ndarray, vectors: Tensor, weights: Tensor) -> tuple[Setting, Factors]:
        """Steps 10, then 3 to 8: choose what is None, then regress on all samples."""
        rank = min(vectors.shape[1], len(np.unique(y)))
        tasks = self.tasks if self.mapping in ("mte", "gomtl") else rank
        penalty_s = self.penalty_a if self.mapping == "ridge" else self.penalty_s
        tried = settings(rank, tasks, penalty_s, self.penalty_a, tied=self.mapping != "rmtl")
        seed, latent = self.random_state, self._latent
        setting, _ = cross_validate(tried, self._regress, x, y, vectors, weights, latent=latent, random_state=seed)
        factors = self._regress(moments(x, vectors[y], weights), setting)
        return setting._replace(tasks=len(factors.a)), factors

    def _regress(self, m: Moments, setting: Setting, tolerance: float = 1e-5) -> Factors:
        if self.mapping == "ridge":
            return regressors.ridge(m, setting.penalty_a)
        if self.mapping == "rmtl":
            return regressors.rmtl(m, setting.penalty_s, setting.penalty_a)
        regress = regressors.mte if self.mapping == "mte" else regressors.gomtl
        return regress(m, *setting, iterations=self.iterations, tolerance=tolerance)

    def _network(self, factors: Factors, setting: Setting, vectors: Tensor, centre: Tensor) -> SemanticNetwork:
        """Step 9: what is compared, and by which map samples get there."""
        a = factors.a if self._latent else factors.s @ factors.a
        prototypes = latent_prototypes(factors.s, vectors, setting.penalty_s) if self._latent else vectors
        network = semantic_network(len(centre), len(a), len(vectors), power=self.power, scale=SCALE)
        return network.set_map(centre, a, prototypes)

    def _transduce(self, network: SemanticNetwork, pool: Tensor, unseen: np.ndarray) -> np.ndarray:
        """Step 9 with a pool: self-training of unseen classes, then the hub correction; the labels of the pool."""
        codes = network.embed(pool)
        if self.self_training:
            network.prototypes[unseen] = self_trained(network.prototypes[unseen], codes, self.self_training)
        if self.hubs:
            network.hold_hubs(codes)
        return network(pool).argmax(dim=1).numpy()
