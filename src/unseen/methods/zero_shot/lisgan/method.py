"""The method: train the generator, recognize with what it generates."""

import dataclasses
from typing import Any, Literal, Self

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import ArrayLike
from torch import Tensor, nn

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.samplers import tensor
from unseen.methods.base import Card, Method
from unseen.methods.parameters import Count, NonNegative, Positive, Unit
from unseen.methods.zero_shot.lisgan.paper import PAPER
from unseen.methods.zero_shot.lisgan.steps import (
    confident,
    descriptions,
    entropy,
    nearest,
    soul_regularizers,
    soul_samples,
    synthesize,
)
from unseen.nn.adversarial import Conditional, behind_real, train_generator
from unseen.nn.classifier import Classifier
from unseen.nn.softmax import MinMaxScale, Softmax, over_all_classes
from unseen.nn.unseen_classes import positions, split_classes
from unseen.runtime import reproducible


class LisGAN(Method):
    """Train a conditional Wasserstein GAN whose samples stay near the 'souls' of their class [1].

    From features of seen classes and one description vector per class (attributes, else embeddings) it
    learns to generate features; a linear classifier on features generated for the unseen classes then
    recognizes them. Given the pool to label as `target`, confident predictions become training samples of a
    second pass, and the labels of the pool are in `transduction_`.

        L_D = -E[D(x, a)] + E[D(x~, a)] + penalty E[(||grad D(x^, a)|| - 1)^2]
        L_G = -E[D(x~, a)] + classification NLL + sample_souls L_R1 + class_souls L_R2

    Parameters
    ----------
    generalized : bool
        Predict among all classes (GZSL) or among the unseen ones (ZSL).
    souls : int
        Soul samples per seen class, k.
    sample_souls : float, >= 0
        Weight of L_R1: every generated sample near one soul of its class.
    class_souls : float, >= 0
        Weight of L_R2: the mean of a class's generated samples near one of its souls.
    samples_per_class : int
        Generated samples behind each mean in L_R2.
    classification : float, >= 0
        Weight of the seen classifier's loss on generated samples.
    balanced : bool
        Scale descriptions to the expected length of the noise. False scales them to 1, as in the public
        attribute files, where the noise outweighs them until a long training has sorted it out.
    ratio : float in [0, 1]
        Share of the pool that counts as confident.
    refine : {"softmax", "nearest"}
        The rest of the pool is labelled by the classifier, trained on, or by the nearest training sample.
    synthetic : int
        Features generated per class to train the classifier.
    epochs, seen_epochs, classifier_epochs : int
        Of the GAN, of the seen classifier, and of each pass of the final classifier.
    hidden, critic_steps, batch_size : int
        Hidden width of both networks, critic steps per generator step.
    penalty : float
        Weight of the gradient penalty.
    learning_rate, classifier_learning_rate : float, > 0
        Of Adam with beta1 = 0.5: for the GAN, and for the final classifier (the seen classifier's is 1e-3).

    Attributes
    ----------
    souls_ : Tensor (n_seen, k, d)
        Soul samples in the units of the features; row i is of class `seen_[i]`, both as in `fit`.
    generator_ : Conditional
        G(z, a), into scaled features; `synthesize` gives them in their own units.
    transduction_ : array (n_target,)
        Labels of the pool after both passes, if there was a `target`.

    Notes
    -----
    `PAPER` holds the settings of the paper's ten experiments. The defaults are for a CPU, a few hundred features and
    a few drawings or photos per class; they were chosen on the development emoji of the claim. With fewer than some
    ten samples per class, `souls=1` is the better choice. L_R2 generates `samples_per_class` features of every seen
    class in each generator step. In GZSL, let `synthetic` be near the number of real samples per seen class.

    References
    ----------
    [1] Li et al., "Leveraging the Invariant Side of Generative Zero-Shot Learning", CVPR 2019.
    """

    card = Card(
        slug="lisgan",
        title="Leveraging the Invariant Side of Generative Zero-Shot Learning",
        venue="CVPR 2019",
        official_code="lijin118/LisGAN",
        summary="Recognize classes that only have a description, by generating their features.",
        unseen={"classes"},
        modalities={"features"},
        protocols={"zsl", "gzsl"},
        presets={
            "default": {},
            "generalized": {
                "generalized": True, "synthetic": 10, "classifier_epochs": 25, "classifier_learning_rate": 2e-3,
            },
            "paper": dict(PAPER["cub-zsl"]),
        },
        on_request={"paper"},
        smoke={"epochs": 1, "seen_epochs": 1, "classifier_epochs": 1, "hidden": 16, "synthetic": 8},
        parts=("unseen.nn.adversarial", "unseen.nn.softmax", "unseen.evaluation.metrics.zero_shot"),
        notes=(
            "Confident means low entropy of the probabilities, as in the paper. The official code takes the "
            "entropy of renormalised log-probabilities, largest first, which can pick the uncertain samples.",
            "All stages run a fixed number of epochs, and features are synthesized once, after the last one. "
            "The official code keeps the best epoch of both classifiers by test accuracy.",
            "The division by the largest scaled training value is left to min-max scaling, which makes it 1.",
            "The share `ratio` is used in GZSL too; the official code leaves it at 0.6 there.",
            "Descriptions are scaled to the length of the noise, for small data and short trainings; "
            "balanced=False, as in the preset `paper`, gives the unit length of the public attribute files.",
            "A class with fewer distinct samples than souls has those samples, then its mean, as its souls.",
            "Classes are worked through in an order that depends on their descriptions alone, so that "
            "renumbering the classes renumbers the predictions and changes nothing else.",
            "On another type of processor the same seed trains another GAN: on two of them a replayed cell's distance "
            "to souls, 2.34 for the GAN without souls, was .15 and .21 off. One or two threads gave the same.",
        ),
    )  # fmt: skip

    generalized: bool = False
    souls: Count = 3
    sample_souls: NonNegative = 1e-2
    class_souls: NonNegative = 1.0
    samples_per_class: Count = 20
    classification: NonNegative = 0.01
    balanced: bool = True
    ratio: Unit = 0.3
    refine: Literal["softmax", "nearest"] = "softmax"
    synthetic: Count = 100
    epochs: Count = 30
    seen_epochs: Count = 100
    classifier_epochs: Count = 50
    hidden: Count = 128
    critic_steps: Count = 5
    batch_size: Count = 64
    penalty: NonNegative = 10.0
    learning_rate: Positive = 2e-3
    classifier_learning_rate: Positive = 1e-3

    network_: Classifier = dataclasses.field(init=False)
    generator_: Conditional = dataclasses.field(init=False)
    descriptions_: Tensor = dataclasses.field(init=False)
    seen_: np.ndarray = dataclasses.field(init=False)
    souls_: Tensor = dataclasses.field(init=False)

    def fit(self, *, source: Domain, classes: ClassSpace, target: Domain | None = None) -> Self:
        """Learn from samples of seen classes and descriptions of all; label the pool `target` if given."""
        a = descriptions(classes, self.balanced)
        seen, unseen = split_classes(source, classes, descriptions(classes), self.generalized)
        x, y = tensor(source), positions(source.labels, seen, len(classes))
        scale = MinMaxScale(x.shape[1]).measure(x)  # step 1
        x = scale(x)
        souls = soul_samples(x, y, len(seen), self.souls, self.random_state)
        seen_classifier = Softmax(x.shape[1], len(seen))  # step 4
        seen_classifier.train(x, y, name="lisgan-seen", epochs=self.seen_epochs, batch_size=100)
        self.generator_ = self._train_generator(x, y, a[seen], souls, seen_classifier.head)
        self.seen_, self.souls_ = seen, scale.inverse(souls)
        return self._recognize(x, y, a, seen, unseen, scale, target)

    def adapt(self, *, source: Domain, classes: ClassSpace, target: Domain | None = None) -> Self:
        """Recognize other classes, or among all of them, or another pool, with the generator as it is.

        The classes may be described anew and more of them unseen; the descriptions must be of the same kind.
        """
        a = descriptions(classes, self.balanced)
        seen, unseen = split_classes(source, classes, descriptions(classes), self.generalized)
        if a.shape[1] != self.descriptions_.shape[1]:
            raise ValueError(f"descriptions must have {self.descriptions_.shape[1]} values; got {a.shape[1]}")
        scale = self._scale()
        if source.n_features != len(scale.low):
            raise ValueError(f"source must have {len(scale.low)} features, as in fit; got {source.n_features}")
        x, y = scale(tensor(source)), positions(source.labels, seen, len(classes))
        return self._recognize(x, y, a, seen, unseen, scale, target)

    def decision_function(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n c"]:
        """Logits of the first pass over all classes, (n, n_classes); others than asked for score -1e4."""
        return self.network_(x)

    def entropy(self, x: Any) -> Float[Tensor, "n"]:
        """Entropy of each prediction in nats, (n,); the cascade trusts the lowest."""
        return entropy(self.predict_proba(x))

    def synthesize(self, classes: ArrayLike, n: int, random_state: int = 0) -> Domain:
        """Generate `n` features for each of the `classes` (indices), labelled, in the source's units."""
        scale, classes = self._scale(), np.atleast_1d(np.asarray(classes, dtype=np.int64))
        if n < 1 or len(classes) == 0 or classes.min() < 0 or classes.max() >= len(self.descriptions_):
            raise ValueError(f"classes must be in [0, {len(self.descriptions_)}) and n >= 1; got {classes}, {n}")
        with reproducible(random_state):
            x, y = synthesize(self.generator_, self.descriptions_[classes], n)
        return Domain(x=scale.inverse(x).numpy(), y=classes[y.numpy()], name="synthetic")

    def network(self) -> nn.Module:
        """Scaling and the linear classifier of the first pass, from features to logits over all classes."""
        return self.network_

    # -- the stages ------------------------------------------------------------------------------------------

    def _scale(self) -> MinMaxScale:
        scale = self.network().backbone
        assert isinstance(scale, MinMaxScale)
        return scale

    def _train_generator(self, x: Tensor, y: Tensor, a: Tensor, souls: Tensor, seen_head: nn.Linear) -> Conditional:
        """Steps 2, 5 and 6: `critic_steps` steps of the critic, then one of the generator (same batch)."""
        return train_generator(
            x, y, a, seen_head, name="lisgan", n_noise=a.shape[1], hidden=self.hidden,
            classification=self.classification,
            regularizers=soul_regularizers(souls, self.sample_souls, self.class_souls, self.samples_per_class),
            critic_steps=self.critic_steps, batch_size=self.batch_size, penalty=self.penalty,
            learning_rate=self.learning_rate, epochs=self.epochs,
        )  # fmt: skip

    def _recognize(
        self,
        x: Tensor,
        y: Tensor,
        a: Tensor,
        seen: Int[np.ndarray, "s"],
        made: Int[np.ndarray, "u"],
        scale: MinMaxScale,
        target: Domain | None,
    ) -> Self:
        """Steps 7 to 9: generate, train the classifier, and label the pool in two passes."""
        vars(self).pop("transduction_", None)
        candidates = np.concatenate([seen, made]) if self.generalized else made
        fake, label = synthesize(self.generator_, a[made], self.synthetic)
        if self.generalized:
            fake, label = behind_real(x, y, fake, label, len(seen))
        first = Softmax(fake.shape[1], len(candidates), learning_rate=self.classifier_learning_rate)
        self._train_on(first, fake, label, "first")
        self.descriptions_ = a
        self.network_ = over_all_classes(first.head, scale, torch.as_tensor(candidates), len(a))
        if target is not None:
            self.transduction_ = candidates[self._cascade(first, fake, label, scale(tensor(target))).numpy()]
        return self

    def _train_on(self, classifier: Softmax, x: Tensor, y: Tensor, stage: str) -> None:
        epochs, size = self.classifier_epochs, 2 * self.synthetic
        classifier.train(x, y, name=f"lisgan-{stage}", epochs=epochs, batch_size=size)

    def _cascade(self, classifier: Softmax, x: Tensor, y: Tensor, pool: Tensor) -> Int[Tensor, "n"]:
        """Step 9: keep the labels of the confident samples, train on with them, label the others anew."""
        p = classifier.probabilities(pool)
        easy, labels = confident(p, self.ratio), p.argmax(dim=1)
        if easy.all():
            return labels
        x, y = torch.cat([x, pool[easy]]), torch.cat([y, labels[easy]])
        if self.refine == "nearest":
            labels[~easy] = y[nearest(pool[~easy], x)]
        else:
            self._train_on(classifier, x, y, "second")
            labels[~easy] = classifier.probabilities(pool[~easy]).argmax(dim=1)
        return labels
