"""The method: a dictionary between two domains, spatial coefficients from the source, refinement on the target."""

import dataclasses
from typing import Annotated, Any, Literal, Self

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn

from unseen.data.domain import Domain
from unseen.data.samplers import steps
from unseen.methods.adaptation.ugt.compnet import NEVER, CompNet, Reading, compnet, shares
from unseen.methods.adaptation.ugt.components import views
from unseen.methods.adaptation.ugt.learning import (
    Examples,
    all_cosines,
    chunks,
    inner,
    losses,
    pseudo_labels,
    sampled,
    shuffled,
    some_of_each,
)
from unseen.methods.base import Card, Method
from unseen.methods.explanation import as_grid
from unseen.methods.needs import REGIONS, Regions, has_regions
from unseen.methods.parameters import Count, Natural, NonNegative, Positive, Unit, Within
from unseen.methods.verbs import gives
from unseen.nn.train import Run, train
from unseen.nn.von_mises_fisher import Mixture, adapt_mixture, fit_mixture, responsibilities

KINDS_OF_CLUTTER = 5
"""Kernels that features of pictures without objects are clustered into; each is a kind of clutter."""


class UGT(Method):
    """Unsupervised generative transition: move the parts of a compositional network between two domains [1].

    A picture is a grid of feature vectors. A dictionary of von Mises-Fisher kernels stands for parts; a class says
    which parts are likely where, and a clutter model explains positions that show something else, such as an occluder.
    The kernels are fitted on the source and moved towards the target as far as the target has samples for them; on
    this dictionary the classes are learnt from the labelled source, then refined on pseudo-labels of the target.

    Parameters
    ----------
    kernels : int
        K, the size of the dictionary; at most the number of feature vectors that it is fitted on.
    kappa : float in (0, 80]
        Concentration of the kernels. Two to fifteen kernels should fire at a position.
    components : int
        M, views of a class.
    occlusion_prior : float in [0, 1]
        o, how likely a position is to show no part of the object.
    clutter : {"learned", "uniform", "none"}
        What explains such positions: five clusters of the features of `auxiliary` (pictures without objects), or the
        mean over all positions of source and target if there is none; all kernels alike; or nothing, so that every
        position must fit.
    dictionary : {"transitional", "target", "source"}
        Kernels of the source moved towards the target by MAP adaptation; all the way by EM; or not at all.
    relevance : float, >= 0
        Pictures' worth of positions at which a kernel goes halfway to the target.
    adapt_iterations : int
        Of MAP adaptation. With more, kernels that the target favours take all of it, and share less with the source.
    em_iterations : int
        Of EM on the source, at most.
    positions, pictures : int
        Positions of a picture, and pictures of a class, that dictionaries are fitted on, at most.
    border : int
        Positions at the margins of the grid that dictionaries are not fitted on.
    em_steps : int
        Of hard EM for the views, at most.
    epochs : int
        Of training on the source; 0 leaves the coefficients as hard EM gave them.
    refine_rounds, refine_epochs : int
        Times that the target is given pseudo-labels, and epochs on them and on the source after each; 0 for none.
    pseudo_threshold : float in [0, 1]
        Pseudo-labels of a probability above it are believed.
    pseudo_share : float in [0, 1]
        And the surest of each class, this share of those given to it.
    finetune_dictionary : bool
        Whether training moves the kernels, too.
    dictionary_weight, likelihood_weight : float, >= 0
        alpha and beta: L = CE + alpha mean_i (1 - max_k mu_k . f_i) - beta score(y).
    batch_size : int
    learning_rate : float, > 0
        Of Adagrad.
    decay : float in [0, 1]
        What the learning rate is multiplied by after every epoch.

    Attributes
    ----------
    network_ : CompNet
    psi_ : Tensor (k,)
        How far each kernel went from the source to the target; 0 if none was moved.
    similarity_ : Tensor (k,)
        Cosine of each kernel of the source with what it has become before the classes were learnt.
    views_ : Tensor (n_classes,)
        Views of each class.
    believed_ : Tensor (rounds, n_classes)
        Pseudo-labels of each class that were learnt from.

    Notes
    -----
    Regions come from the encoder (``efficientnet-lite0?crop=1&layer=4&regions=14``), or as the column ``regions``,
    (n, regions, d), of `source` and `target`: row by row of a square grid, else they count as one row. Objects should
    lie alike in all pictures. Without regions a sample is one position.

    References
    ----------
    [1] Kaushik, Kortylewski, Yuille, "A Bayesian Approach to OOD Robustness in Image Classification", CVPR 2024.
    """

    card = Card(
        slug="ugt",
        title="A Bayesian Approach to OOD Robustness in Image Classification",
        venue="CVPR 2024",
        summary="Adapt to unlabeled pictures of another look, even partly occluded, and show where an occluder is.",
        unseen={"domains"},
        modalities={"features"},
        protocols={"closed"},
        presets={
            "default": {},
            "source": {"dictionary": "source", "refine_rounds": 0},
            "dictionary": {"refine_rounds": 0},
            "target": {"dictionary": "target", "refine_rounds": 0},
        },
        on_request={"source", "dictionary", "target"},
        smoke={"kernels": 8, "em_iterations": 10, "epochs": 1, "refine_rounds": 1, "refine_epochs": 1},
        parts=("unseen.nn.von_mises_fisher",),
        left_out=(
            "Training of the backbone on the source, which comes before the method: features are the encoder's.",
            "White and noise clutter, which need pictures of their own; give them as `auxiliary`.",
        ),
        notes=(
            "There is no official code. Constants are those of the compositional networks that it builds on.",
            "The formula of the transitional dictionary is MAP adaptation as in speaker recognition, which the paper's "
            "adaptation coefficients name.",
            "Without `auxiliary` there is one kind of clutter: clusters of pictures with objects would be parts, and "
            "explain these as well as the classes do.",
            "The published size is 512 kernels of the last map of a network trained on the source, 4 views, border 3.",
            "How pseudo-labels are chosen, weighted and renewed is ours; the paper says that refinement is iterative.",
            "The paper trains a whole backbone on the source, freezes it, and learns all else on its map; here all is "
            "learnt on cached features, the regions of an encoder's map: lost is that the features know the source's "
            "classes, and each picture is read in one place and size.",
        ),
        regions=True,
        needs=(Regions(),),
        cost=20.0,
    )

    kernels: Count = 64
    kappa: Annotated[float, Within(0, 80, open_low=True)] = 30.0
    components: Count = 2
    occlusion_prior: Annotated[float, Within(0, 1, open_high=True)] = 0.6
    clutter: Literal["learned", "uniform", "none"] = "learned"
    dictionary: Literal["transitional", "target", "source"] = "transitional"
    relevance: NonNegative = 16.0
    adapt_iterations: Count = 1
    em_iterations: Count = 200
    positions: Count = 20
    pictures: Count = 1000
    border: Natural = 0
    em_steps: Natural = 10
    epochs: Natural = 10
    refine_rounds: Natural = 2
    refine_epochs: Natural = 5
    pseudo_threshold: Unit = 0.9
    pseudo_share: Unit = 0.5
    finetune_dictionary: bool = False
    dictionary_weight: NonNegative = 3.0
    likelihood_weight: NonNegative = 3.0
    batch_size: Count = 64
    learning_rate: Positive = 1e-2
    decay: Unit = 0.98

    network_: CompNet = dataclasses.field(init=False)

    def fit(self, *, source: Domain, target: Domain, auxiliary: Domain | None = None) -> Self:
        """Learn from the labelled source and the unlabeled target; `auxiliary` are pictures without objects."""
        inputs = {"source": source, "target": target} | ({"auxiliary": auxiliary} if auxiliary is not None else {})
        cells = {name: regions_of(domain) for name, domain in inputs.items()}
        _check_alike(cells)
        y = torch.as_tensor(source.labels)
        n_classes = int(y.max()) + 1 if source.classes is None else len(source.classes)
        points = self._points(cells, source.labels, n_classes)
        mixture = self._transition(points)
        network = self._network(mixture, points, cells["source"].shape[1], n_classes)
        self._place(network, cells["source"], y)
        weight = torch.ones(len(y))
        if self.epochs:
            self._learn(network, cells["source"], y, weight, epochs=self.epochs, name="ugt")
        self.believed_ = torch.zeros(self.refine_rounds, n_classes, dtype=torch.long)
        for number in range(self.refine_rounds):
            self._refine(network, cells, y, number)
        self.network_ = network.eval().requires_grad_(False)
        return self

    # -- the dictionary ----------------------------------------------------------------------------------------

    def _points(self, cells: dict[str, NDArray[Any]], y: Int[np.ndarray, " n"], n_classes: int) -> dict[str, Tensor]:
        """Unit feature vectors of each input, drawn from its pictures (step 1)."""
        r = cells["source"].shape[1]
        side = as_grid(np.zeros(r)).shape
        places = inner(side[0], self.border) if side[0] > 1 else np.arange(r)
        points = {}
        self._places = len(places)
        for name, part in cells.items():
            labels = y if name == "source" else np.zeros(len(part), dtype=np.int64)
            most = self.pictures * (1 if name == "source" else n_classes)
            chosen = some_of_each(labels, most, self.random_state)
            points[name] = sampled(part, places, self.positions, chosen, self.random_state)
            if not len(points[name]):
                raise ValueError(f"{name} must have features other than 0; there are none")
        return points

    def _transition(self, points: dict[str, Tensor]) -> Mixture:
        """The dictionary of the source (step 1), moved towards the target (step 7)."""
        x = points["source"]
        k = min(self.kernels, len(x))
        source = fit_mixture(
            x, k, kappa=self.kappa, iterations=self.em_iterations, random_state=self.random_state
        ).mixture
        self.psi_ = torch.zeros(k)
        mixture = source
        if self.dictionary == "transitional":
            relevance = self.relevance * min(self.positions, self._places)
            mixture, self.psi_ = adapt_mixture(
                points["target"], source, relevance=relevance, iterations=self.adapt_iterations
            )
        elif self.dictionary == "target":
            fitted = fit_mixture(points["target"], k, kappa=self.kappa, iterations=self.em_iterations, init=source)
            mixture, self.psi_ = fitted.mixture, torch.ones(k)
        self.similarity_ = (mixture.means * source.means).sum(dim=1)
        return mixture

    def _network(self, mixture: Mixture, points: dict[str, Tensor], n_regions: int, n_classes: int) -> CompNet:
        """A network with this dictionary and with clutter (step 5), but without classes."""
        k, d = mixture.means.shape
        beta = self._clutter(mixture, points)
        network = compnet(
            n_features=d, n_regions=n_regions, n_kernels=k, n_classes=n_classes, n_components=self.components,
            n_clutter=len(beta), kappa=self.kappa, occlusion=self.occlusion_prior,
        )  # fmt: skip
        network.means.data.copy_(mixture.means)
        network.means.requires_grad_(self.finetune_dictionary)
        network.clutter.copy_(beta)
        return network

    def _clutter(self, mixture: Mixture, points: dict[str, Tensor]) -> Float[Tensor, "c k"]:
        """beta: which kernels fire where there is no object."""
        k = len(mixture.means)
        if self.clutter == "none":
            return torch.zeros(0, k)
        if self.clutter == "uniform":
            return torch.full((1, k), 1 / k)
        if "auxiliary" not in points:
            x = torch.cat([points["source"], points["target"]])
            return _firing(x, mixture).mean(dim=0, keepdim=True)
        x = points["auxiliary"]
        kinds = min(KINDS_OF_CLUTTER, len(x))
        clutter = fit_mixture(x, kinds, kappa=self.kappa, iterations=50, random_state=self.random_state).mixture
        beta = responsibilities(x, clutter).T @ _firing(x, mixture)
        return beta / beta.sum(dim=1, keepdim=True).clamp_min(1e-12)

    # -- the classes -------------------------------------------------------------------------------------------

    def _place(self, network: CompNet, cells: NDArray[Any], y: Int[Tensor, " n"]) -> None:
        """Views of every class from its pictures of the source (steps 4 and 8)."""
        cosines = all_cosines(network, cells)
        for label in np.unique(y.numpy()).tolist():
            coefficients = views(
                cosines[y == label], self.components, kappa=self.kappa, steps=self.em_steps,
                random_state=self.random_state,
            ).coefficients  # fmt: skip
            network.coefficients.data[label, : len(coefficients)] = coefficients
            network.there[label, : len(coefficients)] = True
        self.views_ = network.there.sum(dim=1)

    def _learn(
        self, network: CompNet, cells: NDArray[Any], y: Int[Tensor, " n"], weight: Float[Tensor, " n"], *,
        epochs: int, name: str,
    ) -> None:  # fmt: skip
        """Train on weighted samples (step 6); while the kernels rest, their cosines are computed once."""
        examples = Examples(y, weight)
        moving = self.finetune_dictionary
        table = torch.cat(list(chunks(cells))) if moving else all_cosines(network, cells)

        def objective(batch: tuple[Tensor, Tensor], run: Run) -> Tensor:
            x, index = batch
            terms = losses(network, network.cosines(x) if moving else x, examples.y[index], examples.weight[index])
            run.log(**terms._asdict())
            return (
                terms.cross_entropy
                + self.dictionary_weight * terms.dictionary
                + self.likelihood_weight * terms.likelihood
            )

        per_epoch = steps(len(y), self.batch_size, drop_last=False)
        optimizer = torch.optim.Adagrad([p for p in network.parameters() if p.requires_grad], lr=self.learning_rate)
        train(
            objective,
            name=name,
            nets={"network": network, "examples": examples},
            optimizers={"adagrad": optimizer},
            schedulers={
                "decay": torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: self.decay ** (step // per_epoch))
            },
            batches=shuffled(table, self.batch_size),
            epochs=epochs,
            steps_per_epoch=per_epoch,
        )
        network.cpu()

    def _refine(self, network: CompNet, cells: dict[str, NDArray[Any]], y: Int[Tensor, " n"], number: int) -> None:
        """Learn from the source and from pseudo-labels of the target (step 9)."""
        pictures, labels, weight = self._believed(network, cells, y)
        self.believed_[number] = torch.bincount(labels, minlength=self.believed_.shape[1])
        if not len(labels):
            return
        self._learn(
            network,
            np.concatenate([cells["source"], pictures]),
            torch.cat([y, labels]),
            torch.cat([torch.ones(len(y)), weight]),
            epochs=self.refine_epochs,
            name=f"ugt-refine-{number}",
        )

    def _believed(
        self, network: CompNet, cells: dict[str, NDArray[Any]], y: Int[Tensor, " n"]
    ) -> tuple[NDArray[Any], Int[Tensor, " m"], Float[Tensor, " m"]]:
        """Pictures of the target whose pseudo-labels are believed, these, and their weights.

        A weight is the probability over the mean of those believed: scores are means over positions, so that
        probabilities of ten classes lie near 0.2, and would hardly count beside the source's weight of 1.
        """
        with torch.no_grad():
            p = torch.softmax(torch.cat([network(part) for part in chunks(cells["target"])]), dim=1)
        labels, believed = pseudo_labels(p, self.pseudo_threshold, self.pseudo_share)
        sure = p.amax(dim=1)[believed]
        return cells["target"][believed.numpy()], labels[believed], sure / sure.mean()

    # -- what it says ------------------------------------------------------------------------------------------

    def decision_function(self, x: Float[Tensor, "n r d"]) -> Float[Tensor, "n c"]:
        """Twice the mean log-likelihood of the positions under each class, (n, n_classes)."""
        return torch.cat([self.network_(part) for part in torch.split(x, 64)])

    def network(self) -> nn.Module:
        """From the features of regions, (b, r d) or (b, r, d), to the scores of all classes."""
        return self.network_

    @gives("maps")
    def occlusion_maps(self, x: Float[Tensor, "n r d"]) -> NDArray[np.float32]:
        """Log-odds of each position to show no part of the object of the predicted class, (n, h, w).

        Positions above 0 count as occluded. Without clutter no position does.
        """
        read = self._reading(x)
        best = read.scores.argmax(dim=1)[:, None, None].expand(-1, 1, read.object.shape[2])
        return as_grid((read.clutter - read.object).gather(1, best)[:, 0].numpy())

    @gives("maps")
    def evidence_maps(self, x: Float[Tensor, "n r d"]) -> NDArray[np.float32]:
        """How much each position speaks for the predicted class against the second best, (n, h, w).

        The mean over positions is the lead in the scores of `decision_function`, halved. Positions that both take for
        clutter of one kind speak for neither.
        """
        read = self._reading(x)
        known = (read.scores > NEVER / 2).sum(dim=1).clamp_max(2)
        order = read.scores.argsort(dim=1, descending=True, stable=True)[:, :2]
        evidence = torch.maximum(read.object, read.clutter)
        evidence = evidence.gather(1, order[:, :, None].expand(-1, -1, evidence.shape[2]))
        lead = evidence[:, 0] - evidence[:, -1] * (known > 1)[:, None]
        return as_grid(lead.numpy())

    def _reading(self, x: Float[Tensor, "n r d"]) -> Reading:
        parts = [self.network_.read(self.network_.cosines(part)) for part in torch.split(x, 64)]
        return Reading(*(torch.cat(values) for values in zip(*parts)))


def regions_of(domain: Domain) -> NDArray[Any]:
    """Features of the regions, (n, r, d), of any float type; without the column, one region: the sample itself."""
    return domain.columns[REGIONS] if has_regions(domain) else domain.x[:, None]


def _firing(x: Float[Tensor, "n d"], mixture: Mixture) -> Float[Tensor, "n k"]:
    """The shares of the kernels at each position."""
    return shares((x @ mixture.means.T)[:, None], mixture.kappa)[:, 0]


def _check_alike(cells: dict[str, NDArray[Any]]) -> None:
    """The inputs have equally many regions."""
    n = cells["source"].shape[1]
    for name, part in cells.items():
        if part.shape[1] != n:
            raise ValueError(f"{name} must have {n} regions, as source; got {part.shape[1]}")
