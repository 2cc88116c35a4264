"""The method: project, align, build graphs over the pool, spread what prototypes and support say."""

from __future__ import annotations

import dataclasses
import logging
from typing import Annotated, Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.samplers import tensor
from unseen.methods.base import Card, Method, NotFittedError
from unseen.methods.parameters import Count, Natural, NonNegative, Positive, Unit, Within
from unseen.methods.zero_shot.tmv_hlp.hypergraph import view_prior
from unseen.methods.zero_shot.tmv_hlp.propagation import affinity, neighbour_counts
from unseen.methods.zero_shot.tmv_hlp.views import (
    FEATURES,
    View,
    align,
    candidate_classes,
    check_distinct,
    class_vectors,
    feature_view,
    moved_prototypes,
    semantic_view,
)
from unseen.nn.graphs import blocks, gaussian, median_distance, propagate
from unseen.nn.semantic import cosines

log = logging.getLogger(__name__)

REACHED = 1e-9
"""Below this mass a sample counts as connected with no labelled node."""


class TMVHLP(Method):
    """Label a pool of unseen classes by prototypes that spread over graphs and hypergraphs of several views [1].

    Views of the pool are its features and, for every space in which the classes have vectors (attributes, embeddings,
    a tree or graph), the projection into that space, learnt from the seen classes. Canonical correlations over the pool
    bring all views, and the class vectors as prototypes, into one embedding, where

        W = mixture sum_i w_i P(i) K^i + (1 - mixture) omega,   F = (1 - alpha) (I - alpha D^-1/2 W D^-1/2)^-1 L

    with K^i the neighbours within view i and omega the similarity by hyperedges between every ordered pair of views.

    Parameters
    ----------
    generalized : bool
        Seen classes compete too, with their vectors as prototypes.
    prototypes : bool
        Class vectors take part as labelled nodes. False needs `support`, whose classes alone are then predicted.
    self_training : int, optional
        K: a prototype moves once, to the mean of the K samples nearest to it by cosine; 0 leaves it where it is. None
        is 8% of the pool, at most its share of one class.
    mixture : float in [0, 1]
        Weight of the graphs; the rest is the hypergraph's. 1 is the multi-view graph, 0 the hypergraph alone.
    neighbours, hyper_neighbours : int
        Edges of a sample in each graph, nodes of its hyperedges.
    prototype_factor : int
        A prototype has that many times more of both.
    alpha : float in [0, 1)
        How much a node listens to its neighbours.
    repeats : int
        How often the result is spread again, fixed beforehand.
    power : float, >= 0
        lambda: eigenvalues to this power weigh the directions of the embedding.
    components : int, optional
        Principal components of each view, at most, that enter the correlations. None is a tenth of the pool, at most
        100: of more, noise that only the pool has correlates too, and class vectors are thrown far off. It is at least
        30, which is too many for a pool below some 200 samples; `regularization` is the remedy there.
    regularization : float, > 0
        Of the covariances, in units of a view's mean variance. Below 0.1 a pool smaller than twice the components of
        all views is warned of: its correlations are mostly noise.
    penalty : float, > 0
        Of the regressors into the class vectors.
    view_prior : bool
        Weigh the graphs by how well their views agree with the others (P(i)); else equally.
    view_weights : tuple of float, optional
        w, a further weight for each view in the order of `views_`: features, attributes, embeddings, metric.

    Attributes
    ----------
    transduction_ : array (n_target,)
        Labels of the pool, in its order.
    views_ : dict of View
        By name: "features", and those of "attributes", "embeddings", "metric" that the classes have.
    nodes_ : Tensor (v, n, j)
        All nodes in the embedding of each view: the pool in the order of `Domain.canonical_order`, support, prototypes.
    mass_ : array (n, c)
        What reached each node from every candidate class, at least 0. The paper's F, for labels +1 and -1, is
        2 mass - its sum over classes.
    candidates_ : array (c,)
        The classes that can be predicted.
    columns_ : dict of bool array
        Which columns of the class vectors are in use: those that differ between the classes of the source.
    shares_ : array (v,)
        w_i P(i) of each view.

    Notes
    -----
    The pool is labelled together (`transduction_`, the transductive protocol). `predict`, the inductive one, takes
    later samples one by one: each is projected into the same views and takes the mean mass of its nearest nodes there,
    weighted as edges and views are. So a sample of the pool may be predicted otherwise than `transduction_` says. A
    pool should hold some eight or more samples of each class: of two there is nothing to spread over, and hyperedges
    then do harm.

    References
    ----------
    [1] Fu et al., "Transductive Multi-view Zero-Shot Learning", IEEE TPAMI 37(11), 2015.
    """

    card = Card(
        slug="tmv-hlp",
        title="Transductive Multi-view Zero-Shot Learning",
        venue="TPAMI 2015",
        official_code="yanweifu/embedding_zero-shot-learning",
        summary="Label a pool of never-seen classes together, over graphs of features, attributes and word vectors.",
        unseen={"classes"},
        modalities={"features"},
        protocols={"zsl", "gzsl"},
        presets={"default": {}, "small": {"neighbours": 10, "hyper_neighbours": 10, "prototype_factor": 2},
                 "graph": {"mixture": 1.0}, "generalized": {"generalized": True}},
        smoke={"neighbours": 5, "hyper_neighbours": 5, "prototype_factor": 2},
        parts=("unseen.nn.graphs", "unseen.nn.semantic", "unseen.evaluation.metrics.zero_shot"),
        notes=(
            "Confirmed beside prototypes that move in names, in keywords or in both, whichever is best: no better "
            "(.007), nor than one graph of the pictures over which their scores spread (.001).",
            "Transductive (`transduction_`): it sees the unlabeled features of the pool, never their labels. Inductive "
            "(`predict`): later samples, one by one.",
            "The graph of a view is not divided by its volume, K / vol(K), and the weights (1, 1.5, 1) of features, "
            "attributes and word vectors are not the default; `view_weights` gives the latter.",
            "Continuous class vectors are reached by ridge regression, binary attributes by logistic regression; the "
            "paper has linear support vector regression and support vector machines with probabilities.",
            "All views and prototypes are centred on the pool's mean, and each view is brought to a mean variance of "
            "1; the official code projects some of them uncentred.",
            "No node is its own neighbour, in its own view or another. The official code leaves out whoever ranks "
            "first, which between two views can be another node.",
            "Only positive standardized similarities are incidences of a hyperedge.",
            "In the view prior, distances below 0.001 count as that.",
            "The labels are spread a fixed number of times. The official code reports the best by test labels.",
            "A tree, graph or matrix of distances gives one more view, by classical scaling; the paper has none.",
            "A sample that no labelled node reaches takes the class of the labelled node nearest in the embedding.",
        ),
        cost=3.0,
    )  # fmt: skip

    generalized: bool = False
    prototypes: bool = True
    self_training: Natural | None = None
    mixture: Unit = 0.25
    neighbours: Count = 30
    hyper_neighbours: Count = 30
    prototype_factor: Count = 9
    alpha: Annotated[float, Within(0, 1, open_high=True)] = 0.35
    repeats: Count = 1
    power: NonNegative = 4.0
    components: Count | None = None
    regularization: Positive = 1e-4
    penalty: Positive = 1.0
    view_prior: bool = True
    view_weights: tuple[NonNegative, ...] | None = None

    views_: dict[str, View] = dataclasses.field(init=False)
    nodes_: Tensor = dataclasses.field(init=False)
    mass_: np.ndarray = dataclasses.field(init=False)
    candidates_: np.ndarray = dataclasses.field(init=False)
    columns_: dict[str, np.ndarray] = dataclasses.field(init=False)
    shares_: np.ndarray = dataclasses.field(init=False)
    widths_: list[float] = dataclasses.field(init=False)
    pool_: str = dataclasses.field(init=False)

    def fit(self, *, source: Domain, classes: ClassSpace, target: Domain, support: Domain | None = None) -> Self:
        """Label the pool `target`; `support` are labelled samples of it (N-shot)."""
        candidates = candidate_classes(source, classes, support, self.generalized, self.prototypes)
        spaces, columns = class_vectors(classes, candidates, np.unique(source.labels))
        if support is None:
            check_distinct(classes, candidates, spaces)
        self._check_pool(len(target), len(spaces) + 1)
        x = tensor(target).double()
        pool = x if support is None else torch.cat([x, tensor(support).double()])
        seen = torch.as_tensor(source.labels)
        views = {FEATURES: feature_view(pool)}
        for name, vectors in spaces.items():
            views[name] = semantic_view(tensor(source).double(), vectors[seen], self.penalty)
        components = self.components or min(100, max(30, len(pool) // 10))
        views = align(views, pool, components, self.power, self.regularization)
        moved = {}
        for name, z in spaces.items():
            origin = z[classes.seen].mean(dim=0)
            v = views[name].vectors(x) - origin
            moved[name] = moved_prototypes(v, z[candidates] - origin, self.self_training) + origin
        self.views_, self.columns_ = views, columns
        self.candidates_, self.n_classes_ = candidates, len(classes)
        self.nodes_ = self._nodes(pool, moved)
        self.widths_ = [median_distance(nodes, nodes) for nodes in self.nodes_]
        self._spread(len(target), candidates if support is None else support.labels, support is not None)
        self.pool_ = target.fingerprint()
        self.transduction_ = candidates[self.mass_[: len(target)].argmax(axis=1)]
        return self

    def decision_function(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n c"]:
        """Log-probabilities of later samples, each by itself, (n, n_classes); classes that are none score -1e4."""
        scores = torch.full((len(x), self.n_classes_), -1e4)
        for block in blocks(len(x), self.nodes_.shape[1]):
            scores[block, self.candidates_] = self._near(x[block]).clamp_min(1e-30).log().float()
        return scores

    def scores(self, target: Domain) -> Float[np.ndarray, "n c"]:
        """F of the pool, in the order of the `target` that `fit` was given; a column per class of `candidates_`."""
        rows = self._pool_rows(target)
        return (2 * self.mass_ - self.mass_.sum(axis=1, keepdims=True))[rows]

    # -- across views (step 8) -------------------------------------------------------------------------------

    def embed(self, vectors: Any, view: str = FEATURES) -> Float[Tensor, "n j"]:
        """Vectors of a view (samples, or class vectors as in `fit`) on the unit sphere of the joint embedding.

        Raises
        ------
        ValueError
            If there is no such view, the width is another, or a number is not finite.
        """
        if "views_" not in self.fitted:
            raise NotFittedError("this TMVHLP has not been fitted; call fit first")
        if view not in self.views_:
            raise ValueError(f"view must be one of {', '.join(self.views_)}; got {view!r}")
        chosen, v = self.views_[view], torch.as_tensor(np.asarray(vectors)).double()
        width = len(self.columns_[view]) if view in self.columns_ else len(chosen.location)
        if v.ndim != 2 or v.shape[1] != width:
            raise ValueError(f"vectors of the view {view!r} must be of shape (n, {width}); got {tuple(v.shape)}")
        finite = v.isfinite().all(dim=1)
        if not finite.all():
            raise ValueError(f"vectors of the view {view!r} must be finite; row {int(finite.int().argmin())} is not")
        return chosen.embed(chosen.vectors(v) if view == FEATURES else v[:, self.columns_[view]])

    def retrieve(
        self, queries: Any, rows: Any, *, view: str = FEATURES, among: str = "embeddings", top: int | None = None
    ) -> Int[np.ndarray, "q m"]:
        """Rank vectors of one view for vectors of another: indices of `rows`, (q, m), the nearest by cosine first.

        Parameters
        ----------
        queries : array (q, d)
            Vectors of `view`: pictures to be described, or a text to find pictures for.
        rows : array (m, e)
            Vectors of the view `among`: words, or pictures.
        top : int, optional
            So many of them, at least 1; all if absent.
        """
        if top is not None and top < 1:
            raise ValueError(f"top must be at least 1; got {top!r}")
        similar = cosines(self.embed(queries, view), self.embed(rows, among))
        return similar.argsort(dim=1, descending=True, stable=True)[:, :top].numpy()

    def _near(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n c"]:
        """Shares of the candidates in the mass of each sample's nearest nodes, weighted as edges and views are."""
        total = torch.zeros(len(x), len(self.candidates_), dtype=torch.float64)
        mass = torch.as_tensor(self.mass_)
        for view, nodes, width, share in zip(self.views_.values(), self.nodes_, self.widths_, self.shares_.tolist()):
            similar = gaussian(view.embed(view.vectors(x)), nodes, width)
            near, index = similar.topk(min(self.neighbours, len(nodes)), dim=1)
            total += share * torch.einsum("nk,nkc->nc", near, mass[index])
        return total / total.sum(dim=1, keepdim=True).clamp_min(torch.finfo(total.dtype).tiny)

    # -- the stages ------------------------------------------------------------------------------------------

    def _check_pool(self, n: int, n_views: int) -> None:
        if n < 2:
            raise ValueError(f"target must hold at least two samples, a pool to work on; got {n}")
        if self.view_weights is not None and (len(self.view_weights) != n_views or sum(self.view_weights) == 0):
            raise ValueError(f"view_weights must be {n_views} numbers, not all 0; got {self.view_weights!r}")

    def _nodes(self, pool: Tensor, moved: dict[str, Tensor]) -> Float[Tensor, "v n j"]:
        """Samples and prototypes in the embedding of every view; in the features' view a prototype is the mean."""
        images = {name: self.views_[name].image(z) for name, z in moved.items()}
        images[FEATURES] = torch.stack(list(images.values())).mean(dim=0)
        nodes = []
        for name, view in self.views_.items():
            samples = view.image(view.vectors(pool))
            nodes.append(F.normalize(torch.cat([samples, images[name]]) if self.prototypes else samples, dim=1))
        return torch.stack(nodes)

    def _spread(self, n_pool: int, labels: np.ndarray, supported: bool) -> None:
        """Steps 4 to 7: weigh the views, build graphs and hyperedges, and spread the labels."""
        views, n = list(self.nodes_), self.nodes_.shape[1]
        n_prototypes = len(self.candidates_) if self.prototypes else 0
        prior = view_prior(views) if self.view_prior else np.full(len(views), 1 / len(views))
        self.shares_ = prior * (1.0 if self.view_weights is None else np.asarray(self.view_weights))
        counts, hyper_counts = (
            neighbour_counts(n - n_prototypes, n_prototypes, k, self.prototype_factor)
            for k in (self.neighbours, self.hyper_neighbours)
        )
        product = affinity(views, self.shares_, counts, hyper_counts, self.mixture)
        initial = np.zeros((n, len(self.candidates_)))
        if supported:
            initial[n_pool + np.arange(len(labels)), np.searchsorted(self.candidates_, labels)] = 1
        if self.prototypes:
            initial[n - n_prototypes :] = np.eye(n_prototypes)
        mass = propagate(product, initial, self.alpha, repeats=self.repeats).clip(0)
        self.mass_ = self._completed(mass, initial)

    def _completed(self, mass: np.ndarray, initial: np.ndarray) -> np.ndarray:
        """Mass of nodes that no labelled node reaches: all of it from the nearest labelled one."""
        lost, labelled = mass.max(axis=1) < REACHED, initial.max(axis=1) > 0
        if lost.any():
            log.info("%d of %d nodes are reached by no label and take the nearest one", lost.sum(), len(mass))
            similar = torch.einsum("vnj,vmj->nm", self.nodes_[:, lost], self.nodes_[:, labelled])
            mass[lost] = initial[labelled][similar.argmax(dim=1).numpy()]
        return mass

    def _pool_rows(self, target: Domain) -> np.ndarray:
        if "nodes_" not in self.fitted:
            raise NotFittedError("this TMVHLP has not been fitted; call fit first")
        if len(target) != len(self.transduction_):
            raise ValueError(f"target must be the pool of fit, {len(self.transduction_)} samples; got {len(target)}")
        if target.fingerprint() != self.pool_:
            raise ValueError("target must be the pool of fit; it holds other samples. Of later ones `predict` tells")
        return np.argsort(target.unlabeled().canonical_order())
