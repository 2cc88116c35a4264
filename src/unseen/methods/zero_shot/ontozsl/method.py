"""OntoZSL for features: an ontology conditions a generator, and a classifier learns from what it generates."""

import dataclasses
from typing import Any, Self

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import ArrayLike
from torch import Tensor, nn

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.samplers import tensor
from unseen.methods.base import Card
from unseen.methods.needs import Related
from unseen.methods.parameters import Count, NonNegative, Positive
from unseen.methods.zero_shot.lisgan.steps import soul_regularizers, soul_samples
from unseen.methods.zero_shot.ontozsl.conditions import Conditioned, check_conditions
from unseen.nn.adversarial import Conditional, Pivot, Regularizer, behind_real, synthesize, train_generator
from unseen.nn.classifier import Classifier
from unseen.nn.softmax import MinMaxScale, Softmax, over_all_classes
from unseen.nn.unseen_classes import candidates, positions, seen_classes, split_classes
from unseen.runtime import reproducible

PAPER: dict[str, Any] = {
    "balanced": False, "dim": 100, "gamma": 12.0, "negatives": 1024, "structure_steps": 60_000,
    "structure_batch_size": 256, "structure_learning_rate": 5e-5, "text_epochs": 1000, "pivot_weight": 0.0,
    "noise": 100, "hidden": 4096, "learning_rate": 1e-5, "epochs": 100,
}  # fmt: skip
"""What the paper says of AwA2."""


class OntoZSL(Conditioned):
    """Generate features of classes never seen from what an ontology says of them [1].

    The ontology relates classes to wider concepts, attributes and whatever else: TransE makes vectors of its structure,
    and two projections bring structure and texts into one space. A conditional Wasserstein GAN learns, from features of
    seen classes and their vectors o, to generate features; a linear classifier on generated features of the unseen
    classes (beside real ones of the seen, if `generalized`) then recognizes them.

        o_c = [tanh(W_s s_c + b_s) || tanh(W_t t_c + b_t)]
        L_D = -E[D(x, o)] + E[D(x~, o)] + penalty E[(||grad D(x^, o)|| - 1)^2]
        L_G = -E[D(x~, o)] + classification NLL + pivot_weight mean_c ||mean G(z, o_c) - mean x_c||^2

    Parameters
    ----------
    generalized : bool
        Predict among all classes (GZSL) or among the unseen ones (ZSL).
    condition : {"structure+text", "structure", "text", "words", "attributes", "random"}
        What the generator is told of a class: o; TransE's vector; the text half of o; the word vectors of the class's
        text; the attributes (else embeddings) of the classes; or numbers without meaning. The last three are baselines
        and need no ontology.
    balanced : bool
        Take the mean of the seen classes from the conditions and scale them to length sqrt(a), the expected length of
        as much noise. False takes them as they are.
    dim : int
        Values of TransE's vectors, and of each half of o.
    gamma, negatives, temperature : float, int and float
        TransE's margin, corrupted triples for each, and the temperature of their self-adversarial weights.
    structure_steps, structure_batch_size, structure_learning_rate
        Of TransE.
    weighting : {"mean", "tfidf"}
        How the vectors of words make that of a text.
    margin : float
        Between the energies of triples and of corrupted ones.
    text_epochs, text_batch_size, text_learning_rate
        Of the two projections.
    pivot_weight : float, >= 0
        Of the distance of a class's generated mean from its real one.
    sample_souls, class_souls : float, >= 0
        Weights of LisGAN's two regularizers.
    souls, samples_per_class : int
        Soul samples per class; generated samples behind each mean.
    classification : float, >= 0
        Weight of the seen classifier's loss on generated samples.
    noise : int
        Values of z.
    synthetic : int
        Features generated per class to train the classifier.
    epochs, seen_epochs, classifier_epochs : int
        Of the GAN, of the seen classifier and of the final one.
    hidden, critic_steps, batch_size : int
        Hidden width of both networks, critic steps per generator step.
    penalty : float
        Weight of the gradient penalty.
    learning_rate, classifier_learning_rate : float, > 0
        Of Adam with beta1 = 0.5: for the GAN, and for the final classifier (the seen classifier's is 1e-3).

    Attributes
    ----------
    concepts_, vectors_ : tuple of str and Tensor (n_concepts, a)
        The vectors of all concepts, from which `adapt` takes those of other classes.
    centre_ : Tensor (a,)
        The mean of the seen classes' vectors.
    conditions_ : Tensor (n_classes, a)
        What the generator is told, scaled.
    generator_ : Conditional
        G(z, o), into scaled features; `synthesize` gives them in their own units.

    Notes
    -----
    `classes` carry their ontology (`unseen.data.ontologies.with_ontology`); without one it is made of their tree or
    graph and of their attributes. `encoder` is a `unseen.data.words.WordVectors`; without one, the table of the package
    wordllama is taken. The defaults are for a CPU, a few hundred features and a few samples per class. In GZSL more
    synthetic features favour unseen classes, and more epochs of the classifier seen ones: the preset `generalized` is
    for some four real samples per seen class.

    `RelationOntoZSL` is the same for the relations of a knowledge graph, `OntologyEncoder` the vectors alone.

    References
    ----------
    [1] Geng et al., "OntoZSL: Ontology-enhanced Zero-shot Learning", WWW 2021.
    """

    card = Card(
        slug="ontozsl",
        title="OntoZSL: Ontology-enhanced Zero-shot Learning",
        venue="WWW 2021",
        official_code="genggengcss/OntoZSL",
        summary="Turn an ontology into class embeddings and generate features of unseen classes from them.",
        unseen={"classes"},
        modalities={"features"},
        protocols={"zsl", "gzsl"},
        presets={
            "default": {},
            "generalized": {
                "generalized": True, "synthetic": 30, "classifier_epochs": 80, "classifier_learning_rate": 2e-3,
            },
            "paper": {**PAPER, "synthetic": 300},
            "paper-generalized": {**PAPER, "generalized": True, "synthetic": 1800},
        },
        on_request={"paper", "paper-generalized"},
        smoke={
            "dim": 8, "negatives": 4, "structure_steps": 4, "text_epochs": 1, "epochs": 1, "seen_epochs": 1,
            "classifier_epochs": 1, "hidden": 16, "synthetic": 8, "noise": 8,
        },
        needs=(Related(),),
        cost=30.0,
        parts=(
            "unseen.data.ontology",
            "unseen.data.ontologies.builders",
            "unseen.data.ontologies.readers",
            "unseen.nn.kge",
            "unseen.nn.adversarial",
            "unseen.nn.softmax",
            "unseen.methods.zero_shot.lisgan.steps",
            "unseen.evaluation.metrics.zero_shot",
            "unseen.evaluation.metrics.ranking",
        ),
        notes=(
            "TransE trains for a fixed number of steps, and the projections for a fixed number of epochs. The official "
            "code keeps snapshots, of which one is chosen for each data set.",
            "A class whose text has no known word keeps its structural half in the place of the text half; the "
            "official code has texts for all classes.",
            "The mean-cluster regularizer of the paper is the option pivot_weight; the official code for images is "
            "without it, as is the preset paper.",
            "The classifier is trained for a fixed number of epochs on features that are synthesized once; the "
            "official code keeps the best epoch by test accuracy.",
            "Concepts and classes are worked through in an order that depends on names and vectors alone, so that the "
            "order of triples or classes makes no difference.",
            "Conditions are centred and scaled to the length of the noise, for small data and short trainings; "
            "balanced=False, as in the preset paper, takes them as they are.",
        ),
        left_out=(
            "RDF reasoning (what follows from the triples): triples are taken as they stand.",
            "The ontologies and features of the paper's data sets, which are not in a package.",
        ),
    )  # fmt: skip

    generalized: bool = False
    pivot_weight: NonNegative = 1.0
    sample_souls: NonNegative = 0.0
    class_souls: NonNegative = 0.0
    souls: Count = 1
    samples_per_class: Count = 20
    classification: NonNegative = 0.01
    noise: Count = 64
    synthetic: Count = 100
    epochs: Count = 15
    seen_epochs: Count = 100
    classifier_epochs: Count = 50
    hidden: Count = 128
    critic_steps: Count = 5
    batch_size: Count = 64
    penalty: NonNegative = 10.0
    learning_rate: Positive = 1e-3
    classifier_learning_rate: Positive = 1e-3

    network_: Classifier = dataclasses.field(init=False)
    generator_: Conditional = dataclasses.field(init=False)
    conditions_: Tensor = dataclasses.field(init=False)

    def fit(self, *, source: Domain, classes: ClassSpace, encoder: Any = None) -> Self:
        """Learn the vectors of the ontology, then the generator from samples of seen classes, then the classifier."""
        self._check(source, classes)
        o = self._learn_conditions(source, classes, encoder)  # steps 1 to 6
        seen, unseen = split_classes(source, classes, o, self.generalized)
        x, y = tensor(source), positions(source.labels, seen, len(classes))
        scale = MinMaxScale(x.shape[1]).measure(x)
        x = scale(x)
        regularizers = self._regularizers(x, y, len(seen))
        seen_classifier = Softmax(x.shape[1], len(seen))
        seen_classifier.train(x, y, name="ontozsl-seen", epochs=self.seen_epochs, batch_size=100)
        self.generator_ = self._train_generator(x, y, o[seen], regularizers, seen_classifier.head)
        return self._recognize(x, y, o, seen, unseen, scale)

    def adapt(self, *, source: Domain, classes: ClassSpace, encoder: Any = None) -> Self:
        """Recognize other classes, or among all of them, with vectors and generator as they are.

        Every class must be a concept of the ontology that was learnt, or be described as it was in `fit`.
        """
        self._check(source, classes)
        o = self._conditions(classes, encoder)
        seen, unseen = split_classes(source, classes, o, self.generalized)
        scale = self._scale()
        if source.n_features != len(scale.low):
            raise ValueError(f"source must have {len(scale.low)} features, as in fit; got {source.n_features}")
        return self._recognize(
            scale(tensor(source)), positions(source.labels, seen, len(classes)), o, seen, unseen, scale
        )

    def decision_function(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n c"]:
        """Logits over all classes, (n, n_classes); others than asked for score -1e4."""
        return self.network_(x)

    def synthesize(self, classes: ArrayLike, n: int, random_state: int = 0) -> Domain:
        """Generate `n` features for each of the `classes` (indices), labelled, in the source's units."""
        scale, classes = self._scale(), np.atleast_1d(np.asarray(classes, dtype=np.int64))
        if n < 1 or len(classes) == 0 or classes.min() < 0 or classes.max() >= len(self.conditions_):
            raise ValueError(f"classes must be in [0, {len(self.conditions_)}) and n >= 1; got {classes}, {n}")
        with reproducible(random_state):
            x, y = synthesize(self.generator_, self.conditions_[classes], n)
        return Domain(x=scale.inverse(x).numpy(), y=classes[y.numpy()], name="synthetic")

    def network(self) -> nn.Module:
        """Scaling and the linear classifier, from features to logits over all classes."""
        return self.network_

    # -- the stages ------------------------------------------------------------------------------------------

    def _check(self, source: Domain, classes: ClassSpace) -> None:
        """What can be refused before work."""
        seen_classes(source, classes)
        if not self.generalized:
            candidates(source, classes, self.generalized)
        check_conditions(classes, self.condition)

    def _scale(self) -> MinMaxScale:
        scale = self.network().backbone
        assert isinstance(scale, MinMaxScale)
        return scale

    def _regularizers(self, x: Float[Tensor, "n d"], y: Int[Tensor, " n"], n_seen: int) -> list[Regularizer]:
        """The pivot, and LisGAN's souls where they are asked for."""
        regularizers: list[Regularizer] = []
        if self.pivot_weight:
            means = torch.stack([x[y == c].mean(dim=0) for c in range(n_seen)])
            regularizers.append(Pivot(means, self.pivot_weight, self.samples_per_class))
        if self.sample_souls or self.class_souls:
            souls = soul_samples(x, y, n_seen, self.souls, self.random_state)
            regularizers += soul_regularizers(souls, self.sample_souls, self.class_souls, self.samples_per_class)
        return regularizers

    def _train_generator(
        self, x: Tensor, y: Tensor, o: Tensor, regularizers: list[Regularizer], seen_head: nn.Linear
    ) -> Conditional:
        """Step 7, first half: G(z, o) by WGAN-GP."""
        return train_generator(
            x, y, o, seen_head, name="ontozsl", n_noise=self.noise, hidden=self.hidden,
            classification=self.classification, regularizers=regularizers, critic_steps=self.critic_steps,
            batch_size=self.batch_size, penalty=self.penalty, learning_rate=self.learning_rate, epochs=self.epochs,
        )  # fmt: skip

    def _recognize(
        self,
        x: Tensor,
        y: Tensor,
        o: Tensor,
        seen: Int[np.ndarray, " s"],
        made: Int[np.ndarray, " u"],
        scale: MinMaxScale,
    ) -> Self:
        """Step 7, second half: generate, and train the classifier."""
        predicted = np.concatenate([seen, made]) if self.generalized else made
        fake, label = synthesize(self.generator_, o[made], self.synthetic)
        if self.generalized:
            fake, label = behind_real(x, y, fake, label, len(seen))
        classifier = Softmax(fake.shape[1], len(predicted), learning_rate=self.classifier_learning_rate)
        classifier.train(
            fake, label, name="ontozsl-classifier", epochs=self.classifier_epochs, batch_size=2 * self.synthetic
        )
        self.conditions_ = o
        self.network_ = over_all_classes(classifier.head, scale, torch.as_tensor(predicted), len(o))
        return self
