"""LisGAN: generate features of never-seen classes from their descriptions, then classify in two passes."""

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, Self

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from numpy.typing import ArrayLike
from torch import Tensor, nn

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.samplers import Batch, tensor
from unseen.methods.base import Card, Method
from unseen.methods.parameters import Count, NonNegative, Positive, Unit
from unseen.nn.adversarial import (
    Conditional,
    conditional_critic,
    conditional_generator,
    critic_loss,
    fresh_batches,
)
from unseen.nn.classifier import Classifier
from unseen.nn.softmax import MinMaxScale, Softmax, over_all_classes
from unseen.nn.train import Run, train
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
        Scale descriptions to the expected length of the noise. False leaves them at length 1, as in the public
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
        Of Adam with beta1 = 0.5.

    Attributes
    ----------
    souls_ : Tensor (n_seen, k, d)
        Soul samples in the units of the features; row i is of class `seen_[i]`.
    generator_ : Conditional
        G(z, a), into scaled features; `synthesize` gives them in their own units.
    transduction_ : array (n_target,)
        Labels of the pool after both passes, if there was a `target`.

    Notes
    -----
    `PAPER` holds the settings of the paper's ten experiments; the defaults are for a CPU and at most a few
    hundred features. L_R2 generates `samples_per_class` features of every seen class in each generator step.

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
            "paper": {"hidden": 4096, "learning_rate": 1e-4, "epochs": 70, "synthetic": 300, "ratio": 0.6,
                      "class_souls": 1e-2, "sample_souls": 1e-3, "classification": 0.01, "balanced": False},
        },
        smoke={"epochs": 1, "seen_epochs": 1, "classifier_epochs": 1, "hidden": 16, "synthetic": 8},
        parts=("unseen.nn.adversarial", "unseen.nn.softmax", "unseen.evaluation.metrics.zero_shot"),
        notes=(
            "Confident means low entropy of the probabilities, as in the paper. The official code takes the "
            "entropy of renormalised log-probabilities, largest first, which can pick the uncertain samples.",
            "All stages run a fixed number of epochs, and features are synthesized once, after the last one. "
            "The official code keeps the best epoch of both classifiers by test accuracy.",
            "The division by the largest scaled training value is left to min-max scaling, which makes it 1.",
            "The share `ratio` is used in GZSL too; the official code leaves it at 0.6 there.",
            "Descriptions are scaled: to unit length with balanced=False, which is what the public attribute files "
            "hold, and to the length of the noise by default, for small data and short trainings.",
            "A class with fewer distinct samples than souls has those samples, then its mean, as its souls.",
            "Classes are worked through in an order that depends on their descriptions alone, so that "
            "renumbering the classes renumbers the predictions and changes nothing else.",
        ),
    )  # fmt: skip

    generalized: bool = False
    souls: Count = 3
    sample_souls: NonNegative = 1e-2
    class_souls: NonNegative = 1e-1
    samples_per_class: Count = 20
    classification: NonNegative = 0.01
    balanced: bool = True
    ratio: Unit = 0.3
    refine: Literal["softmax", "nearest"] = "softmax"
    synthetic: Count = 100
    epochs: Count = 50
    seen_epochs: Count = 100
    classifier_epochs: Count = 50
    hidden: Count = 256
    critic_steps: Count = 5
    batch_size: Count = 64
    penalty: NonNegative = 10.0
    learning_rate: Positive = 5e-4
    classifier_learning_rate: Positive = 1e-3

    network_: Classifier = dataclasses.field(init=False)
    generator_: Conditional = dataclasses.field(init=False)
    descriptions_: Tensor = dataclasses.field(init=False)
    seen_: np.ndarray = dataclasses.field(init=False)
    souls_: Tensor = dataclasses.field(init=False)

    def fit(self, *, source: Domain, classes: ClassSpace, target: Domain | None = None) -> Self:
        """Learn from samples of seen classes and descriptions of all; label the pool `target` if given."""
        seen, made = split_classes(source, classes, self.generalized)
        a = descriptions(classes, self.balanced)
        x, y = tensor(source), positions(source.labels, seen, len(classes))
        scale = MinMaxScale(x.shape[1]).measure(x)  # step 1
        x = scale(x)
        souls = soul_samples(x, y, len(seen), self.souls, self.random_state)
        seen_classifier = self._softmax(x, len(seen))
        seen_classifier.train(x, y, name="lisgan-seen", epochs=self.seen_epochs, batch_size=100)
        self.generator_ = self._train_generator(x, y, a[seen], souls, seen_classifier.head)
        self.seen_, self.souls_ = seen, scale.inverse(souls)
        return self._recognize(x, y, a, seen, made, scale, target)

    def adapt(self, *, source: Domain, classes: ClassSpace, target: Domain | None = None) -> Self:
        """Recognize other classes, or among all of them, or another pool, with the generator as it is.

        The classes may be described anew and more of them unseen; the descriptions must be of the same kind.
        """
        seen, made = split_classes(source, classes, self.generalized)
        a = descriptions(classes, self.balanced)
        if a.shape[1] != self.descriptions_.shape[1]:
            raise ValueError(f"descriptions must have {self.descriptions_.shape[1]} values; got {a.shape[1]}")
        scale = self.network_.backbone
        assert isinstance(scale, MinMaxScale)
        x, y = scale(tensor(source)), positions(source.labels, seen, len(classes))
        return self._recognize(x, y, a, seen, made, scale, target)

    def decision_function(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n c"]:
        """Logits of the first pass over all classes, (n, n_classes); others than asked for score -1e4."""
        return self.network_(x)

    def entropy(self, x: Any) -> Float[Tensor, "n"]:
        """Entropy of each prediction in nats, (n,); the cascade trusts the lowest."""
        return entropy(self.predict_proba(x))

    def synthesize(self, classes: ArrayLike, n: int, random_state: int = 0) -> Domain:
        """Generate `n` features for each of the `classes` (indices), labelled, in the source's units."""
        classes = np.atleast_1d(np.asarray(classes, dtype=np.int64))
        if n < 1 or len(classes) == 0 or classes.min() < 0 or classes.max() >= len(self.descriptions_):
            raise ValueError(
                f"classes must be in [0, {len(self.descriptions_)}) and n >= 1; got {classes}, {n}"
            )
        with reproducible(random_state):
            x, y = synthesize(self.generator_, self.descriptions_[classes], n)
        scale = self.network_.backbone
        assert isinstance(scale, MinMaxScale)
        return Domain(x=scale.inverse(x).numpy(), y=classes[y.numpy()], name="synthetic")

    def network(self) -> nn.Module:
        """Scaling and the linear classifier of the first pass, from features to logits over all classes."""
        return self.network_

    # -- the stages ------------------------------------------------------------------------------------------

    def _softmax(self, x: Tensor, n_classes: int) -> Softmax:
        return Softmax(x.shape[1], n_classes, learning_rate=self.classifier_learning_rate)

    def _train_generator(
        self, x: Tensor, y: Tensor, a: Tensor, souls: Tensor, seen_head: nn.Linear
    ) -> Conditional:
        """Steps 2, 5 and 6: `critic_steps` steps of the critic, then one of the generator (same batch)."""
        (_, d), (_, n_condition) = x.shape, a.shape
        generator = conditional_generator(d, n_condition, n_noise=n_condition, hidden=self.hidden)
        critic = conditional_critic(d, n_condition, self.hidden)
        known = _Known(a, souls)

        def noise(run: Run, *shape: int) -> Tensor:
            return torch.randn(*shape, n_condition, generator=run.generator).to(run.device)

        def generator_loss(y: Tensor, run: Run) -> Tensor:
            fake = generator(noise(run, len(y)), known.a[y])
            loss = -critic(fake, known.a[y]).mean()
            loss = loss + self.classification * F.cross_entropy(seen_head(fake), y)
            if self.sample_souls:
                loss = loss + self.sample_souls * sample_regularizer(fake, y, known.souls)
            if self.class_souls:
                fakes = generator(noise(run, len(known.a), self.samples_per_class), known.a[:, None])
                loss = loss + self.class_souls * class_regularizer(fakes, known.souls)
            return loss

        def objective(batch: Batch, run: Run) -> None:
            assert batch.y is not None
            a = known.a[batch.y]
            with torch.no_grad():
                fake = generator(noise(run, len(a)), a)
            loss = critic_loss(critic, batch.x, fake, a, penalty=self.penalty, generator=run.generator)
            run.log(critic=run.descend(loss, "critic"))
            if run.step % self.critic_steps == self.critic_steps - 1:
                run.log(generator=run.descend(generator_loss(batch.y, run), "generator"))

        train(
            objective,
            name="lisgan",
            nets={"generator": generator, "critic": critic, "known": known, "seen": seen_head},
            optimizers={
                "critic": torch.optim.Adam(critic.parameters(), lr=self.learning_rate, betas=(0.5, 0.999)),
                "generator": torch.optim.Adam(
                    generator.parameters(), lr=self.learning_rate, betas=(0.5, 0.999)
                ),
            },
            batches=fresh_batches(x, y, self.batch_size),
            epochs=self.epochs,
            steps_per_epoch=self.critic_steps * -(-len(x) // self.batch_size),
        )
        seen_head.cpu()
        return generator.cpu().eval()

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
        candidates = np.concatenate([seen, made]) if self.generalized else made
        fake, label = synthesize(self.generator_, a[made], self.synthetic)
        if self.generalized:
            fake, label = torch.cat([x, fake]), torch.cat([y, label + len(seen)])
        first = self._softmax(fake, len(candidates))
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


class _Known(nn.Module):
    """What the losses need of the seen classes: their descriptions (c, a) and their souls (c, k, d)."""

    a: Tensor
    souls: Tensor

    def __init__(self, a: Tensor, souls: Tensor) -> None:
        super().__init__()
        self.register_buffer("a", a)
        self.register_buffer("souls", souls)


# -- the steps of the paper --------------------------------------------------------------------------------


def soul_samples(
    x: Float[Tensor, "n d"], y: Int[Tensor, "n"], n_classes: int, k: int = 3, random_state: int = 0
) -> Float[Tensor, "c k d"]:
    """Step 3: the means of the k clusters that k-means finds in each class, in any order of the samples."""
    from sklearn.cluster import KMeans

    souls = torch.empty(n_classes, k, x.shape[1])
    for c in range(n_classes):
        members = x[y == c]
        rows, counts = np.unique(members.numpy(), axis=0, return_counts=True)
        m = min(k, len(rows))
        found = rows if m == len(rows) else None
        if found is None:
            cluster = KMeans(m, n_init=3, random_state=random_state).fit(rows, sample_weight=counts).labels_
            weight = (cluster == np.arange(m)[:, None]) * counts
            found = weight @ rows / weight.sum(axis=1, keepdims=True)
        souls[c, :m] = torch.as_tensor(found, dtype=x.dtype)
        souls[c, m:] = members.mean(dim=0)
    return souls


def nearest_soul(points: Float[Tensor, "n d"], souls: Float[Tensor, "n k d"]) -> Float[Tensor, "n"]:
    """min_j ||x_i - s_ij||^2, each point among its own souls; the gradient goes through the nearest one."""
    return (points[:, None] - souls).square().sum(dim=2).min(dim=1).values


def sample_regularizer(
    fake: Float[Tensor, "b d"], y: Int[Tensor, "b"], souls: Float[Tensor, "c k d"]
) -> Tensor:
    """L_R1: mean over samples of the squared distance to the nearest soul of their class."""
    return nearest_soul(fake, souls[y]).mean()


def class_regularizer(fakes: Float[Tensor, "c n d"], souls: Float[Tensor, "c k d"]) -> Tensor:
    """L_R2: mean over classes of the squared distance from the fake soul, a mean, to a real one."""
    return nearest_soul(fakes.mean(dim=1), souls).mean()


@torch.no_grad()
def synthesize(
    generator: Conditional, a: Float[Tensor, "c a"], n: int
) -> tuple[Float[Tensor, "cn d"], Int[Tensor, "cn"]]:
    """Step 7: G(z, a) for n noise vectors per description, and the row of `a` that each sample is of."""
    fakes = generator(torch.randn(len(a), n, generator.given.in_features), a[:, None])
    return fakes.flatten(0, 1), torch.arange(len(a)).repeat_interleave(n)


def entropy(p: Float[Tensor, "n c"]) -> Float[Tensor, "n"]:
    """E(y) = -sum_c y_c log y_c of each row, in nats, 0 log 0 = 0."""
    return torch.special.entr(p).sum(dim=1)


def confident(p: Float[Tensor, "n c"], ratio: float) -> Bool[Tensor, "n"]:
    """Which rows are the floor(ratio n) of lowest entropy; ties go to the first."""
    easy = torch.zeros(len(p), dtype=torch.bool)
    easy[entropy(p).argsort(stable=True)[: int(len(p) * ratio)]] = True
    return easy


def nearest(points: Float[Tensor, "n d"], references: Float[Tensor, "m d"]) -> Int[Tensor, "n"]:
    """Index of the nearest reference of each point, Euclidean, in blocks."""
    return torch.cat([torch.cdist(block, references).argmin(dim=1) for block in torch.split(points, 256)])


# -- classes -----------------------------------------------------------------------------------------------


def split_classes(
    source: Domain, classes: ClassSpace, generalized: bool
) -> tuple[Int[np.ndarray, "s"], Int[np.ndarray, "u"]]:
    """The classes with samples, and those to generate features of; both ordered by their description."""
    present = np.unique(source.labels)
    if len(present) < 2:
        raise ValueError(
            f"source must hold at least two classes; all its samples are of class {present.tolist()}"
        )
    alien = np.setdiff1d(present, classes.seen)
    if len(alien):
        raise ValueError(
            f"source must hold seen classes only; {classes.names[alien[0]]!r} is not in classes.seen"
        )
    if not generalized and len(classes.unseen) == 0:
        raise ValueError(
            "classes must have unseen classes: set `seen` to those that the source has samples of"
        )
    order = np.lexsort(descriptions(classes).numpy().T[::-1])
    made = np.setdiff1d(np.arange(len(classes)), present) if generalized else classes.unseen
    return order[np.isin(order, present)], order[np.isin(order, made)]


def descriptions(classes: ClassSpace, balanced: bool = True) -> Float[Tensor, "n a"]:
    """One vector per class, scaled to length sqrt(a) if `balanced`, else to 1: the attributes, else the embeddings."""
    vectors = classes.attributes if classes.attributes is not None else classes.embeddings
    if vectors is None:
        raise ValueError("classes must have attributes or embeddings: one description vector per class")
    length = vectors.shape[1] ** 0.5 if balanced else 1.0
    return length * F.normalize(torch.as_tensor(vectors), dim=1)


def positions(y: Int[np.ndarray, "n"], among: Int[np.ndarray, "c"], n_classes: int) -> Int[Tensor, "n"]:
    """Where each label stands in `among`."""
    table = np.full(n_classes, -1, dtype=np.int64)
    table[among] = np.arange(len(among))
    return torch.as_tensor(table[y])


def _settings(*values: float) -> Mapping[str, float]:
    names = ("classification", "class_souls", "sample_souls", "ratio", "learning_rate", "epochs", "synthetic")
    return MappingProxyType({"hidden": 4096, "balanced": False, **dict(zip(names, values, strict=True))})


PAPER: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "cub-zsl": _settings(0.01, 1e-2, 1e-3, 0.6, 1e-4, 70, 300),
        "flo-zsl": _settings(0.1, 1e-4, 1e-3, 0.6, 1e-4, 97, 300),
        "sun-zsl": {**_settings(0.01, 3e-1, 3e-4, 0.5, 2e-4, 54, 100), "classifier_learning_rate": 5e-4},
        "awa1-zsl": _settings(0.01, 3e-2, 3e-5, 0.1, 1e-5, 30, 300),
        "apy-zsl": _settings(0.01, 1.0, 3e-5, 0.7, 1e-5, 40, 300),
        "cub-gzsl": _settings(0.01, 1e-2, 1e-3, 0.2, 1e-4, 56, 300),
        "flo-gzsl": _settings(0.1, 1e-1, 3e-2, 0.4, 1e-4, 80, 1200),
        "sun-gzsl": _settings(0.01, 3e-1, 3e-5, 0.1, 2e-4, 40, 400),
        "awa1-gzsl": _settings(0.01, 1e-3, 3e-5, 0.1, 1e-5, 30, 1800),
        "apy-gzsl": _settings(0.01, 3e-1, 3e-4, 0.2, 1e-5, 50, 1800),
    }
)
"""The paper's settings, for `LisGAN(generalized=True, **PAPER["cub-gzsl"])` on ResNet-101 features."""
