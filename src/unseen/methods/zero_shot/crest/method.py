"""The method: two pathways from regions to attributes, opinions about classes, and their fusion."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Annotated, Any, Literal, NamedTuple, Self

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.samplers import Batch, steps
from unseen.methods.base import Card, Method
from unseen.methods.explanation import Explanation, as_grid
from unseen.methods.parameters import Count, Natural, NonNegative, Positive, Unit, Within
from unseen.methods.verbs import gives
from unseen.methods.zero_shot.crest.bank import discrimination
from unseen.methods.zero_shot.crest.choice import graded, rehearsal
from unseen.methods.zero_shot.crest.inputs import (
    CHUNK,
    FIRST,
    Known,
    attribute_words,
    paired_batches,
    regions_of,
    start,
    tell_constant,
)
from unseen.methods.zero_shot.crest.losses import regression, self_calibration, visual_contrast, weights_of_others
from unseen.methods.zero_shot.crest.network import Judged, Resonance, Seen, resonance
from unseen.nn.evidence import Opinion, annealed, evidential_loss
from unseen.nn.train import Run, train
from unseen.nn.unseen_classes import candidates, class_vectors


class Ranked(NamedTuple):
    """The attributes that spoke for the class of each sample, the strongest first.

    Attributes
    ----------
    attributes : int array (n, k)
    found, expected : float arrays (n, k)
        p of the sample and z of the class, both of samples and classes at unit length.
    """

    attributes: NDArray[np.int64]
    found: NDArray[np.float32]
    expected: NDArray[np.float32]


class CREST(Method):
    """Ground attributes in the regions of a picture by two pathways, and fuse their opinions by uncertainty [1].

    One pathway lets each attribute look at the regions, the other each region at the attributes. Both score the
    attributes; a class is scored by how its attributes agree with these. The scores are evidence, so that each pathway
    has an opinion with an uncertainty, and Dempster's rule makes one opinion of both.

        L = L_EDL^v + L_EDL^a + contrast L_VICL + discrimination L_DIGS + semantics L_ARISE

    Parameters
    ----------
    generalized : bool
        Predict among all classes (GZSL) or among the unseen ones (ZSL).
    pathways : {"both", "visual", "attribute"}
        Attributes that look at regions (VGT), regions that look at attributes (AGT), or both.
    sharpness : float, > 0
        Of the attention of VGT: 1 is the usual softmax(Q K^T / sqrt(d)), whose maps stay all but even on small data.
    mapping : {"softmax", "bilinear"}
        How AGT gives the scores of regions to attributes. With one region the softmax says nothing.
    loss : {"digamma", "mse", "softmax"}
        Of the Dirichlet distributions: expected cross entropy or squared error; or plain cross entropy, without
        evidence: then logits are fused by their mean, and uncertainty is the entropy of the softmax.
    evidence : {"exp", "softplus", "relu"}
        From logits to evidence.
    penalty : float, >= 0
        Weight of the KL term that takes evidence for wrong classes away, over the number of classes K; it grows from 0
        over `annealing` epochs. K is the weight 1 of the usual formula, under which no evidence is left for hundreds of
        classes.
    annealing : int
        Epochs over which the penalty grows; 0 for its full weight from the start.
    fusion : {"dempster", "evidence", "logits"}
        Dempster's rule, the mean of the evidence weighted by 1 - u, or the mean of the logits.
    patterns : int
        Of the meta pattern bank of AGT; 0 for none.
    nearest : int
        Patterns that a query is matched with.
    bank_temperature : float, > 0
        Divides the matches of a query before their softmax.
    queries : {"regions", "pooled"}
        A query for each region, or one for a picture.
    contrast, discrimination, semantics : float, >= 0
        Weights of L_VICL, L_DIGS and L_ARISE.
    negatives : {"confident", "confused", "uniform"}
        How samples of other classes count in L_VICL: by 1 - u, by how likely they are taken for the class, or alike.
    temperature : float, > 0
        Of the cosines in L_VICL.
    margin : float, >= 0
        Of L_DIGS.
    attribute_regression : float, >= 0
        Weight of |p - z_y|^2 in L_ARISE.
    calibration : float, >= 0
        Weight of the self-calibration in L_ARISE, which leaves the unseen classes some probability; GZSL only.
    bias : float or None
        Added to the log-probabilities of unseen classes in GZSL (calibrated stacking); None chooses it.
    held_out : float in [0, 1]
        Share of the seen classes, at most half of them, that play unseen ones to choose the number of epochs and
        `bias`, before all are learnt from. 0 chooses neither, nor do fewer than four seen classes, or in GZSL one
        sample of each.
    width : int
        Values in which regions and attributes meet.
    dropout : float in [0, 1]
        Share of the features of regions left out in training.
    epochs, batch_size : int
    optimizer : {"adam", "rmsprop"}
        Of all weights together.
    learning_rate : float, > 0
    weight_decay : float, >= 0
        Weight of the squares of all weights, as the optimizer adds it to the gradient.

    Attributes
    ----------
    network_ : Resonance
    attribute_names_ : tuple of str
    bias_ : float
        gamma, as used.
    epochs_ : int
        Passes over the samples, as chosen.
    constant_ : int
        Attributes that are the same for all classes.
    bank_usage_ : float
        Entropy of the use of the patterns in the last epoch, in [0, 1]: 1 if all are used alike; 0 without a bank.

    Notes
    -----
    Regions come from the encoder: ``efficientnet-lite0?regions=4`` gives those of a 4 x 4 grid; `source` may also bring
    its own as the column ``regions``, (n, regions, d). Without any, a sample is one region: nothing is located, and
    AGT needs ``mapping="bilinear"`` to say anything. `classes` have attributes, else the values of their embeddings are
    the attributes. `encoder` is a `unseen.data.words.WordVectors` that reads the names of attributes; without one, the
    table of the package wordllama is taken. Attributes without names are told apart by their place alone.

    References
    ----------
    [1] Huang et al., "CREST: Cross-modal Resonance through Evidential Deep Learning for Enhanced Zero-Shot Learning",
        ACM Multimedia 2024.
    """

    card = Card(
        slug="crest",
        title="CREST: Cross-modal Resonance through Evidential Deep Learning for Enhanced Zero-Shot Learning",
        venue="ACM MM 2024",
        official_code="JethroJames/CREST",
        summary="Classify unseen classes from attributes, with two views whose opinions are weighed by uncertainty.",
        unseen={"classes"},
        modalities={"features"},
        protocols={"zsl", "gzsl"},
        presets={
            "default": {},
            "generalized": {"generalized": True},
            "visual": {"pathways": "visual"},
            "paper": {
                "width": 300, "patterns": 32, "batch_size": 50, "epochs": 50, "optimizer": "rmsprop",
                "learning_rate": 1e-4, "weight_decay": 1e-4, "mapping": "softmax", "dropout": 0.0, "sharpness": 1.0,
            },
        },
        smoke={"epochs": 2, "width": 8, "patterns": 4, "batch_size": 16, "held_out": 0.3},
        on_request={"paper"},
        left_out=("The optional self-attention among regions before the pathways (step 1).",),
        notes=(
            "Where attributes have places, small networks that score each region by itself, their scores pooled, do "
            "better: on mosaics of other hands and characters .951 of unseen classes recognized, this .919 (twelve "
            "pictures of a class; with four .865, this .769), and of an attribute's score .978 lies on its place, of "
            "the attention here .840 (`unseen reproduce crest --json`, the fair arms).",
            "The training code was never released: L_VICL, L_DIGS, L_ARISE and the fusion are the usual forms of what "
            "the paper names.",
            "b in the score of a region starts at 1, so that AGT begins with the mean of all regions.",
            "The KL term is divided by the number of classes.",
            "Queries to the bank are made of regions and what they found; of the latter alone, all are the same before "
            "training, and the bank stays a constant.",
            "AGT gives the scores of regions to attributes by F W_3 E^T itself; its softmax is `mapping=\"softmax\"`.",
            "The defaults were chosen on emoji: some hundred pictures of nine to sixteen regions. Where a region shows "
            "one thing alone, `dropout` 0.2 and `learning_rate` 3e-3 give sharper attention.",
        ),
        regions=True,
        cost=20.0,
    )  # fmt: skip

    generalized: bool = False
    pathways: Literal["both", "visual", "attribute"] = "both"
    sharpness: Positive = 4.0
    mapping: Literal["softmax", "bilinear"] = "bilinear"
    loss: Literal["digamma", "mse", "softmax"] = "digamma"
    evidence: Literal["exp", "softplus", "relu"] = "exp"
    penalty: NonNegative = 1.0
    annealing: Natural = 10
    fusion: Literal["dempster", "evidence", "logits"] = "dempster"
    patterns: Natural = 16
    nearest: Count = 3
    bank_temperature: Positive = 1.0
    queries: Literal["regions", "pooled"] = "regions"
    contrast: NonNegative = 0.1
    discrimination: NonNegative = 0.01
    semantics: NonNegative = 1.0
    negatives: Literal["confident", "confused", "uniform"] = "confident"
    temperature: Positive = 0.2
    margin: NonNegative = 1.0
    attribute_regression: NonNegative = 2.0
    calibration: NonNegative = 0.1
    bias: Annotated[float, Within()] | None = None
    held_out: Unit = 0.2
    width: Count = 128
    dropout: Unit = 0.5
    epochs: Count = 15
    batch_size: Count = 64
    optimizer: Literal["adam", "rmsprop"] = "adam"
    learning_rate: Positive = 1e-3
    weight_decay: NonNegative = 1e-3

    network_: Resonance = dataclasses.field(init=False)
    attribute_names_: tuple[str, ...] = dataclasses.field(init=False)

    def fit(self, *, source: Domain, classes: ClassSpace, encoder: Any = None) -> Self:
        """Learn from samples of seen classes and from the attributes of all."""
        asked, z = candidates(source, classes, self.generalized), class_vectors(classes)
        words, names = attribute_words(classes, z.shape[1], encoder)
        cells, y = regions_of(source), source.labels
        self.constant_ = tell_constant(classes)
        self.epochs_, self.bias_ = self._rehearse(cells, y, words, z)
        everything = np.arange(len(y))
        network = self._network(cells, everything, words, z, asked)
        run = self._train(network, cells, y, everything, classes.unseen, epochs=self.epochs_, name="crest")
        self.bank_usage_ = run.history[-1].get("usage", 0.0)
        new = torch.as_tensor(~np.isin(asked, y))
        network.bias = torch.where(new & self.generalized, self.bias_, 0.0)
        self.network_, self.attribute_names_ = network, names
        return self

    # -- the objective -----------------------------------------------------------------------------------------

    def _objective(self, network: Resonance, known: Known, batch: Batch, run: Run) -> Float[Tensor, ""]:
        """L of a batch (step 10)."""
        assert batch.y is not None
        seen = network.see(batch.x)
        judged = network.judge(seen, known.present)
        loss = self._evidential(judged, batch.y, run)
        if self.contrast and seen.visual is not None:
            loss = loss + self.contrast * self._contrast(network, seen, judged, batch.y)
        if network.bank is not None:
            assert seen.attribute is not None
            assert seen.attribute.queries is not None
            run.log(usage=network.bank.usage(seen.attribute.queries))
            loss = loss + self.discrimination * discrimination(network.bank, seen.attribute.queries, self.margin)
        if self.semantics:
            loss = loss + self.semantics * self._semantic(network, seen, judged, batch.y, known, run)
        return loss

    def _evidential(self, judged: Judged, y: Int[Tensor, " b"], run: Run) -> Float[Tensor, ""]:
        """L_EDL of each pathway (step 5)."""
        if self.loss == "softmax":
            return torch.stack([F.cross_entropy(logits, y) for logits in judged.logits.values()]).sum()
        return torch.stack([self._edl(evidence, y, run) for evidence in judged.evidence.values()]).sum()

    def _edl(self, evidence: Float[Tensor, "b k"], y: Int[Tensor, " b"], run: Run) -> Float[Tensor, ""]:
        assert self.loss != "softmax"
        penalty = self.penalty / evidence.shape[1] * annealed(run.epoch, self.annealing)
        return evidential_loss(evidence, y, variant=self.loss, penalty=penalty)

    def _contrast(self, network: Resonance, seen: Seen, judged: Judged, y: Int[Tensor, " b"]) -> Float[Tensor, ""]:
        """L_VICL on the mean of what the attributes found (step 6)."""
        assert seen.visual is not None
        p, uncertainty = network.scored(judged).detach().exp(), judged.opinions["fused"].uncertainty.detach()
        weights = weights_of_others(self.negatives, y, uncertainty, p)
        return visual_contrast(network.project(seen.visual.features.mean(dim=1)), y, weights, self.temperature)

    def _semantic(
        self, network: Resonance, seen: Seen, judged: Judged, y: Int[Tensor, " b"], known: Known, run: Run
    ) -> Float[Tensor, ""]:
        """L_ARISE (step 9): the fused opinion, attributes as the class has them, and some room for unseen classes."""
        loss = F.cross_entropy(judged.fused, y) if self.loss == "softmax" else self._edl(judged.fused, y, run)
        if self.attribute_regression:
            p = network.attributes(seen, judged)
            loss = loss + self.attribute_regression * regression(p, network.classes[known.present[y]])
        if self.generalized and self.calibration and len(known.unseen):
            parts = [part.scores for part in seen if part is not None]
            every = torch.stack(parts).mean(dim=0) @ network.classes[torch.cat([known.present, known.unseen])].T
            loss = loss + self.calibration * self_calibration(every, len(known.unseen))
        return loss

    # -- what it says ------------------------------------------------------------------------------------------

    def decision_function(self, x: Float[Tensor, "n r d"]) -> Float[Tensor, "n c"]:
        """Log-probabilities of all classes, (n, n_classes), those of unseen ones with the bias in GZSL (step 11)."""
        return torch.cat([self.network_(part) for part in torch.split(x, CHUNK)])

    def network(self) -> nn.Module:
        """From the features of regions, (b, r d) or (b, r, d), to the scores of all classes."""
        return self.network_

    @gives("evidence")
    def opinions(self, x: Float[Tensor, "n r d"]) -> dict[str, Opinion]:
        """What each pathway and both together hold of the classes in question: beliefs (n, k) and uncertainty (n,).

        Uncertainties are comparable for one number of classes only.
        """
        parts = [self._judged(part)[1].opinions for part in torch.split(x, CHUNK)]
        return {
            name: Opinion(
                torch.cat([part[name].belief for part in parts]), torch.cat([part[name].uncertainty for part in parts])
            )
            for name in parts[0]
        }

    @gives("maps")
    def attention_maps(self, x: Float[Tensor, "n r d"]) -> NDArray[np.float32]:
        """Where each attribute was looked for, (n, A, h, w): the visual pathway's attention, if there is one."""
        return as_grid(torch.cat([self.network_.see(part).maps for part in torch.split(x, CHUNK)]).numpy())

    @gives("attributes")
    def top_attributes(self, x: Float[Tensor, "n r d"], k: int = 5) -> Ranked:
        """The k attributes, at most all, with the largest p z_y, y being the predicted class."""
        if k < 1:
            raise ValueError(f"k must be at least 1; got {k}")
        p = torch.cat([self.network_.attributes(*self._judged(part)) for part in torch.split(x, CHUNK)])
        z = self.network_.classes[torch.as_tensor(self.predict(x))]
        top = (p * z).topk(min(k, p.shape[1]), dim=1).indices
        return Ranked(top.numpy(), p.gather(1, top).numpy(), z.gather(1, top).numpy())

    @gives("explanation")
    def explain(self, x: Float[Tensor, "n r d"], k: int = 5) -> Explanation:
        """Say which attributes spoke for each class, where they were looked for, and what is left open."""
        uncertainty = {name: held.uncertainty.numpy() for name, held in self.opinions(x).items()}
        return Explanation(
            self.predict(x), uncertainty, self.attribute_names_, *self.top_attributes(x, k), self.attention_maps(x)
        )

    def _judged(self, x: Float[Tensor, "n r d"]) -> tuple[Seen, Judged]:
        seen = self.network_.see(x)
        return seen, self.network_.judge(seen, self.network_.asked)

    # -- training ----------------------------------------------------------------------------------------------

    def _rehearse(
        self, cells: NDArray[Any], y: Int[np.ndarray, " n"], words: Float[Tensor, "a w"], z: Float[Tensor, "c a"]
    ) -> tuple[int, float]:
        """Step 7 of the training: epochs and gamma that are best for seen classes that play unseen ones."""
        bias = 0.0 if self.bias is None else self.bias
        parts = rehearsal(y, self.held_out, self.generalized, self.random_state) if self.held_out else None
        if parts is None:
            return self.epochs, bias
        asked = np.union1d(y[parts.learned], parts.held) if self.generalized else parts.held
        network = self._network(cells, parts.learned, words, z, asked)
        judge = functools.partial(graded, network, cells, y, parts, self.generalized)
        run = self._train(
            network, cells, y, parts.learned, parts.held, epochs=self.epochs, name="crest-rehearsal",
            score=lambda _: judge().score,
        )  # fmt: skip
        return max(1, run.best_epoch + 1), judge().bias if self.bias is None else bias

    def _network(
        self, cells: NDArray[Any], index: Int[np.ndarray, " m"], words: Float[Tensor, "a w"], z: Float[Tensor, "c a"],
        asked: Int[np.ndarray, " k"],
    ) -> Resonance:  # fmt: skip
        """Fresh weights, for samples like those at `index`."""
        n = min(len(index), FIRST) * (1 if self.queries == "pooled" else cells.shape[1])
        network = resonance(
            n_features=cells.shape[2], n_words=words.shape[1], n_attributes=len(words), n_classes=len(z),
            n_asked=len(asked), width=self.width, dropout=self.dropout, sharpness=self.sharpness,
            pathways=self.pathways, mapping=self.mapping, evidential=self.loss != "softmax", evidence=self.evidence,
            fusion=self.fusion, patterns=min(self.patterns, n), nearest=self.nearest,
            bank_temperature=self.bank_temperature, queries=self.queries,
        )  # fmt: skip
        network.words, network.classes = words.clone(), z.clone()
        network.ask(torch.as_tensor(asked), torch.zeros(len(asked)))
        start(network, cells, index, self.random_state)
        return network

    def _train(
        self, network: Resonance, cells: NDArray[Any], y: Int[np.ndarray, " n"], index: Int[np.ndarray, " m"],
        unseen: Int[np.ndarray, " u"], *, epochs: int, name: str, score: Callable[[Run], float] | None = None,
    ) -> Run:  # fmt: skip
        """Learn from the samples at `index`, with one optimizer for all."""
        present = np.unique(y[index])
        known = Known(present, unseen)
        places = torch.as_tensor(np.searchsorted(present, y).clip(max=len(present) - 1))
        kind = torch.optim.Adam if self.optimizer == "adam" else torch.optim.RMSprop
        run = train(
            lambda batch, run: self._objective(network, known, batch, run),
            name=name,
            nets={"network": network, "known": known},
            optimizers={"all": kind(network.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay)},
            batches=paired_batches(cells, places, index, self.batch_size, paired=self.contrast > 0),
            epochs=epochs,
            steps_per_epoch=steps(len(index), self.batch_size, drop_last=False),
            score=score,
        )
        network.cpu().eval()
        return run
