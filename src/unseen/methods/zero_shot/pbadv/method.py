"""The method: four branches, adversarial primitives, hard pairs put together anew."""

import dataclasses
from collections.abc import Callable
from typing import Annotated, Any, Literal, Self

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from unseen.data.classes import ClassSpace
from unseen.data.compositions import Primitives, primitives
from unseen.data.domain import Domain
from unseen.data.samplers import Batch, batches, steps, tensor
from unseen.methods.base import Card, Method, NotFittedError, as_input
from unseen.methods.needs import Compositions
from unseen.methods.parameters import Count, NonNegative, Positive, Unit, Within
from unseen.methods.zero_shot.pbadv.attack import SIZES, START, consistency, primitive_attack, semi_positive
from unseen.methods.zero_shot.pbadv.branches import WIDTH_OF_WORDS, Branches, Outputs, at_rest, branches, cosine
from unseen.methods.zero_shot.pbadv.oversampling import Accuracy, Recombination, object_similarity
from unseen.nn.train import Run, train

Head = Callable[[Tensor], Tensor]
"""From the features of a primitive to cosines with its words."""


class PBAdv(Method):
    """Recognize pairs of an attribute and an object that were never seen together [1].

    Four branches compare a sample with words: as a pair, as its attribute, as its object, and as both put together
    again. The features of both primitives are attacked, so that the composed pair is learnt from primitives that
    disturb each other; and pairs that are hard to recognize are put together from pictures of other pairs.

        L = L_p + L_a + L_o + L_cp + attack (L_a' + L_o' + L_cp' + L_KL) + L_syn

    Parameters
    ----------
    base : {"branches", "primitives", "pair"}
        The model that is trained: all four branches, the two primitives alone (a pair's score is their sum), or the
        pair branch alone, which has no primitives to attack.
    attack : float, >= 0
        Weight of the losses on attacked features; 0 leaves them out.
    direction : {"gradient", "random"}
        Of the attack; random signs are the control.
    sizes : tuple of float
        Step sizes, of which each batch draws one for each primitive.
    start : float, >= 0
        Largest value of the uniform noise that an attack starts from.
    relative : bool
        Sizes and noise in units of the deviation of the features in the batch, so that they mean the same on any
        backbone; False takes them as they are, as the paper does.
    oversampling : bool
        Whether hard pairs are put together anew; only the base of four branches does.
    draw : {"hard", "uniform"}
        Pairs by their hardness, or alike: the control that shows what hardness is worth.
    guidance : {"similarity", "uniform"}
        Where the picture of the attribute comes from: from objects whose words are alike, or from any. Without word
        vectors it is any.
    temperature : float, > 0
        Of the softmax over similar objects; at 1 it is nearly flat.
    begin : float in [0, 1]
        Share of the training after which oversampling begins; never in the first epoch, which finds out what is hard.
    detach : bool
        Whether the loss of composed samples trains the words alone, as in the official code, or the branches too.
    smoothing : float in [0, 1]
        Share of the target that goes to pairs with the same attribute or the same object.
    bias : float
        Added to the scores of unseen pairs (calibrated stacking).
    pair_scale, primitive_scale : float, > 0
        Scales of cosines in the losses of pairs, and of attributes and objects.
    embedding, hidden : int
        Widths of the space of cosines and of the hidden layers.
    dropout : float in [0, 1]
        Share of the values left out after hidden layers.
    epochs, batch_size : int
        Passes over the samples, and samples in a step (at least 2).
    learning_rate : float, > 0
        Of Adam.
    weight_decay : float, >= 0
        Of Adam, on all weights and word vectors.

    Attributes
    ----------
    network_ : Branches
    attributes_, objects_ : tuple of str
        The primitives, in the order of `attribute_scores` and `object_scores`.

    Notes
    -----
    `classes` are pairs: a class file with the columns ``attribute`` and ``object``, or
    `unseen.data.compositions.compositions`; its `open_world` makes all pairs of the words. The defaults are for a CPU
    and some hundred features.

    References
    ----------
    [1] Li et al., "Contextual Interaction via Primitive-based Adversarial Training for Compositional Zero-shot
        Learning", ACM TOMM 2025.
    """

    card = Card(
        slug="pbadv",
        title="Contextual Interaction via Primitive-based Adversarial Training for Compositional Zero-shot Learning",
        venue="ACM TOMM 2025",
        official_code="lisuyi/PBadv_czsl",
        summary="Recognise unseen pairs of attribute and object.",
        unseen={"classes"},
        modalities={"features"},
        protocols={"zsl", "gzsl"},
        needs=(Compositions(),),
        presets={
            "default": {},
            "no-attack": {"attack": 0.0},
            "paper": {
                "relative": False, "hidden": 2048, "embedding": 768, "learning_rate": 2e-5, "epochs": 200,
                "batch_size": 128, "pair_scale": 20.0, "primitive_scale": 140.0, "attack": 0.1, "begin": 0.3,
                "temperature": 1.0,
            },
        },
        on_request={"paper"},
        smoke={"epochs": 2, "hidden": 16, "embedding": 8, "batch_size": 16},
        parts=("unseen.data.compositions", "unseen.evaluation.metrics.bias_sweep"),
        notes=(
            "Similarities of objects are cosines of their word vectors. The official code normalizes one factor along "
            "the wrong axis, so that its rows are no cosines.",
            "The picture of the attribute is drawn at once among the objects that are seen with it, which is what "
            "drawing again until one is found comes to.",
            "A pair that shares no primitive with another keeps its whole target; the official code divides by 0.",
            "The shipped settings of the official code leave oversampling out; here, as in the paper, it is in.",
            "Attacks start from uniform noise that is not negative, as in the official code; the paper's is Gaussian.",
            "The preset paper has the settings of MIT-States; other data: see the paper.",
        ),
        left_out=(
            "The calibration loss towards the most similar unseen pair, which the official code has switched off.",
            "A feasibility mask for the open world: all pairs compete.",
        ),
    )  # fmt: skip

    base: Literal["branches", "primitives", "pair"] = "branches"
    attack: NonNegative = 0.1
    direction: Literal["gradient", "random"] = "gradient"
    sizes: tuple[NonNegative, ...] = SIZES
    start: NonNegative = START
    relative: bool = True
    oversampling: bool = True
    draw: Literal["hard", "uniform"] = "hard"
    guidance: Literal["similarity", "uniform"] = "similarity"
    temperature: Positive = 0.2
    begin: Unit = 1 / 3
    detach: bool = False
    smoothing: Unit = 0.1
    bias: Annotated[float, Within()] = 0.0
    pair_scale: Positive = 20.0
    primitive_scale: Positive = 40.0
    embedding: Count = 64
    hidden: Count = 256
    dropout: Unit = 0.5
    epochs: Count = 80
    batch_size: Annotated[int, Within(2)] = 64
    learning_rate: Positive = 1e-3
    weight_decay: NonNegative = 5e-5

    network_: Branches = dataclasses.field(init=False)

    def fit(self, *, source: Domain, classes: ClassSpace) -> Self:
        """Train the branches on samples of the seen pairs.

        Raises
        ------
        ValueError
            If classes are no pairs, or an attribute or object of a class has no labelled sample.
        """
        if not self.sizes:
            raise ValueError("sizes must hold at least one step size; it is empty")
        words = primitives(classes)
        present = np.unique(source.labels)
        _check_covered(words, present, classes)
        x, y = tensor(source), torch.as_tensor(np.searchsorted(present, source.labels))
        pairs = torch.as_tensor(np.stack([words.attribute, words.object], axis=1))
        network = self._network(x.shape[1], words, pairs)
        self._train(network, x, y, pairs[present], described=words.object_vectors is not None)
        self.network_ = network.cpu().eval()
        self.unseen_ = np.setdiff1d(np.arange(len(classes)), present)
        self.attributes_, self.objects_ = words.attributes, words.objects
        return self

    # -- what it says --------------------------------------------------------------------------------------

    def decision_function(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n p"]:
        """The sum of cosines of every pair, those of unseen pairs with `bias`."""
        scores = self.network_(x)
        scores[:, self.unseen_] += self.bias
        return scores

    def attribute_scores(self, x: Any) -> Float[Tensor, "n a"]:
        """Cosines with every attribute."""
        return self._outputs(x).attribute

    def object_scores(self, x: Any) -> Float[Tensor, "n o"]:
        """Cosines with every object."""
        return self._outputs(x).object

    def retrieve(self, x: Any, k: int) -> Int[np.ndarray, "p k"]:
        """For every pair the k >= 1 samples (at most n) that show it best, the best first."""
        if k < 1:
            raise ValueError(f"k must be at least 1; got {k}")
        scores = self.decision_function(x)
        return scores.T.topk(min(k, len(scores)), dim=1).indices.numpy()

    def network(self) -> nn.Module:
        """From features to scores of all pairs, without the bias."""
        return self.network_

    @torch.no_grad()
    def _outputs(self, x: Any) -> Outputs:
        if "network_" not in self.fitted:
            raise NotFittedError("this PBAdv has not been fitted; call fit first")
        if self.base == "pair":
            raise ValueError("base must have primitives to score them; 'pair' learns pairs alone")
        return self.network_.outputs(as_input(x, self.network_.n_features))

    # -- training ------------------------------------------------------------------------------------------

    def _network(self, n_features: int, words: Primitives, pairs: Int[Tensor, "p 2"]) -> Branches:
        """Step 2: heads over features and over words, which start from the word vectors if there are some."""
        described = words.attribute_vectors is not None and words.object_vectors is not None
        width = words.attribute_vectors.shape[1] if described else WIDTH_OF_WORDS  # type: ignore[union-attr]
        network = branches(
            n_features=n_features, n_attributes=len(words.attributes), n_objects=len(words.objects), n_pairs=len(pairs),
            embedding=self.embedding, hidden=self.hidden, words=width, dropout=self.dropout,
            pairs=self.base != "primitives", primitives=self.base != "pair",
        )  # fmt: skip
        network.of_pairs.copy_(pairs)
        if described:
            network.attribute_words.data = torch.as_tensor(words.attribute_vectors)
            network.object_words.data = torch.as_tensor(words.object_vectors)
        return network

    def _train(
        self,
        network: Branches,
        x: Float[Tensor, "n d"],
        y: Int[Tensor, " n"],
        pairs: Int[Tensor, "s 2"],
        described: bool,
    ) -> None:
        """Steps 3 to 8. `y` are places in `pairs`, the seen ones; `described` tells that words have vectors."""
        similarity = None
        if self.guidance == "similarity" and described:
            similarity = object_similarity(network.object_words.detach())
        known = _Known(pairs, semi_positive(pairs, self.smoothing))
        recombination = Recombination(pairs, y, similarity, self.temperature)
        accuracy = Accuracy(len(pairs))

        def objective(batch: Batch, run: Run) -> Tensor:
            assert batch.y is not None
            a, o = known.pairs[batch.y].T
            out = network.outputs(batch.x, known.pairs)
            accuracy.note(out.pair if out.pair is not None else _of_primitives(out, known.pairs), batch.y)
            loss = self._clean(out, batch.y, a, o, known)
            if self.attack and self.base != "pair":
                loss = loss + self.attack * self._attacked(network, batch.x, out, batch.y, a, o, known, run)
            if self.oversampling and out.composed is not None and run.progress >= self.begin and run.epoch:
                loss = loss + self._recombined(network, x, known, recombination, accuracy, len(batch.x), run)
            return loss

        adam = torch.optim.Adam(network.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay, fused=True)
        train(
            objective,
            name="pbadv",
            nets={"branches": network, "accuracy": accuracy, "known": known, "recombination": recombination},
            optimizers={"adam": adam},
            batches=batches(Domain(x=x.numpy(), y=y.numpy()), self.batch_size),
            epochs=self.epochs,
            steps_per_epoch=steps(len(x), self.batch_size),
            after_epoch=lambda run: accuracy.close(),
        )

    def _clean(
        self, out: Outputs, y: Int[Tensor, " b"], a: Int[Tensor, " b"], o: Int[Tensor, " b"], known: "_Known"
    ) -> Float[Tensor, ""]:
        """L_p + L_cp + L_a + L_o."""
        loss = sum(known.pair_loss(part, y, self.pair_scale) for part in (out.pair, out.composed) if part is not None)
        if self.base != "pair":
            loss = loss + self._primitive_loss(out.attribute, a) + self._primitive_loss(out.object, o)
        return loss  # type: ignore[return-value]

    def _primitive_loss(self, cosines: Float[Tensor, "b c"], y: Int[Tensor, " b"]) -> Float[Tensor, ""]:
        return F.cross_entropy(self.primitive_scale * cosines, y)

    def _attacked(
        self, network: Branches, x: Float[Tensor, "b d"], out: Outputs, y: Int[Tensor, " b"], a: Int[Tensor, " b"],
        o: Int[Tensor, " b"], known: "_Known", run: Run,
    ) -> Float[Tensor, ""]:  # fmt: skip
        """Steps 4 and 5: L_a' + L_o' + L_cp' + L_KL on attacked features, which are constants."""
        with at_rest(network), torch.no_grad():
            f_a = self._attack(network.attribute_head, network.attribute(x), a, run)
            f_o = self._attack(network.object_head, network.object(x), o, run)
        loss = self._primitive_loss(network.attribute_head(f_a), a) + self._primitive_loss(network.object_head(f_o), o)
        if out.composed is None:
            return loss
        composed = network.composed(f_a, f_o, known.pairs)
        return loss + known.pair_loss(composed, y, self.pair_scale) + consistency(out.composed, composed)

    def _attack(self, head: Head, f: Float[Tensor, "b d"], y: Int[Tensor, " b"], run: Run) -> Float[Tensor, "b d"]:
        """One primitive's features under an attack of a size that is drawn for the batch."""
        unit = float(f.detach().std()) if self.relative else 1.0
        size = self.sizes[int(torch.randint(len(self.sizes), (), generator=run.generator))]
        noise = torch.rand(f.shape, generator=run.generator).to(f)
        direction = None
        if self.direction == "random":
            direction = torch.randint(2, f.shape, generator=run.generator).to(f) * 2 - 1
        return primitive_attack(
            lambda z: self.primitive_scale * head(z), f, y,
            size=unit * size, noise=unit * self.start * noise, direction=direction,
        )  # fmt: skip

    def _recombined(
        self, network: Branches, x: Float[Tensor, "n d"], known: "_Known", recombination: Recombination,
        accuracy: Accuracy, n: int, run: Run,
    ) -> Float[Tensor, ""]:  # fmt: skip
        """Steps 6 to 8: L_syn, on hard pairs put together from the primitives of two pictures."""
        hard = accuracy.last if self.draw == "hard" else torch.zeros_like(accuracy.last)
        drawn = recombination.draw(hard, n, run.generator)
        of_attribute, of_object = (x[index.to(x.device)].to(run.device) for index in drawn[:2])
        with torch.set_grad_enabled(not self.detach):
            z = network.together(network.attribute(of_attribute), network.object(of_object))
        return known.pair_loss(cosine(z, network.pair_words(known.pairs)), drawn.pair, self.pair_scale)


class _Known(nn.Module):
    """The seen pairs (s, 2) and their soft targets (s, s)."""

    pairs: Tensor
    targets: Tensor

    def __init__(self, pairs: Tensor, targets: Tensor) -> None:
        super().__init__()
        self.register_buffer("pairs", pairs)
        self.register_buffer("targets", targets)

    def pair_loss(self, cosines: Float[Tensor, "b s"], y: Int[Tensor, " b"], scale: float) -> Float[Tensor, ""]:
        """Cross entropy over the seen pairs with semi-positive targets (step 3)."""
        return F.cross_entropy(scale * cosines, self.targets[y])


def _of_primitives(out: Outputs, pairs: Int[Tensor, "s 2"]) -> Float[Tensor, "b s"]:
    a, o = pairs.T
    return out.attribute[:, a] + out.object[:, o]


def _check_covered(words: Primitives, present: Int[np.ndarray, " s"], classes: ClassSpace) -> None:
    """Every attribute and object must be seen in some pair."""
    for index, kind, names in (
        (words.attribute, "attribute", words.attributes),
        (words.object, "object", words.objects),
    ):
        alien = np.setdiff1d(index, index[present])
        if len(alien):
            raise ValueError(
                f"source must have samples of every {kind} of classes; {names[int(alien[0])]!r} has none "
                f"({len(alien)} of {len(names)})"
            )
    if len(present) < 2:
        raise ValueError(f"source must hold at least two pairs; it holds {classes.names[int(present[0])]!r} alone")
