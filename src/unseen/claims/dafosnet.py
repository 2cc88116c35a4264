"""DAFOS-Net's claim: a few labels of new classes in another domain, some queries of no class, beside simple arms."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unseen.claims import worlds
from unseen.claims.arms import of_classes, rows_of_each
from unseen.claims.base import Claim, Experiment, Result, seeds
from unseen.claims.conditions import better, not_worse
from unseen.claims.drawings import of_vendors
from unseen.claims.ledger import Assertion, effect, mechanism, not_testable, paper_scale
from unseen.claims.letters import in_family, letters, of_family
from unseen.claims.noun_kinds import nouns
from unseen.claims.shifts import numbered_subgroups, subgroups
from unseen.data.domain import Domain
from unseen.evaluation.episodes import Episodes, EpisodeScores
from unseen.methods.baselines.linear_probe import LinearProbe
from unseen.methods.baselines.prototypes import Prototypes
from unseen.methods.few_shot.dafosnet import DAFOSNet
from unseen.methods.few_shot.dafosnet.encoder import SOURCE, TARGET
from unseen.methods.few_shot.dafosnet.episodes import gan_labels, joint_labels
from unseen.methods.few_shot.dafosnet.losses import distances, prototypes
from unseen.runtime import reproducible

COPIES = 5
"""Pictures of a character in a font."""
LATIN = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
SCRIPTS = {
    "development": "".join(sorted(sorted(LATIN, key=worlds.hashed)[:31])),
    "greek": "ΓΔΘΛΞΠΣΦΨΩαβγδεζηθικλμνξοπρστυφχψω",
    "cyrillic": "БГДЖЗИЛПУФЦЧШЩЪЫЬЭЮЯбвгджзиклмнптфцчшщъыьэюя",
    "armenian": "".join(map(chr, (*range(0x531, 0x557), *range(0x561, 0x587)))),
}
"""Characters of letters cases: those of development are half of ASCII's, Greek and Cyrillic are without what looks
Latin. The other half, and `fluent-emoji` with `fluent-emoji-high-contrast`, were confirmation's when the claim was
first run, beside a linear probe that divided by the deviations of a handful of samples."""
LABELS = 10
"""Labelled samples of each class of the target in meta-training: five shots and five queries can be drawn of them."""
SHARES = (0.4, 0.25)
"""Of the classes: those of the source, and those of the target in meta-training; the others are the test's."""
EXAM = Episodes(way=5, shots=(1, 5), queries=5, episodes=100, unknown=5)
TUNING = Episodes(way=5, shots=(1, 5), queries=5, episodes=30, unknown=5, seed=1)
"""What thresholds are tuned on: classes of the target in meta-training, unknown samples weighing what they do in the
exam."""
BARE: Mapping[str, Any] = {"use_low_gan": False, "use_high_gan": False, "weights": (1.0, 0.0, 0.0, 0.0, 0.0, 0.0)}
"""A prototypical network, whose judge learns beside it and does not move it."""


class World(NamedTuple):
    """A labelled source, a sparsely labelled target of other classes, and samples of a third set in both domains."""

    source: Domain
    target: Domain
    exam: Domain
    exam_in_source: Domain


# -- data ----------------------------------------------------------------------------------------------------------


def world(case: str, seed: int, seen: Seen | None = None) -> World:
    """Three sets of classes by seed, each with enough samples in both domains; see `SHARES`."""
    source, target = domains(case) if seen is None else domains(case, seen)
    both = np.minimum(*(np.bincount(d.labels, minlength=len(d.classes or ())) for d in (source, target)))
    rng = np.random.default_rng(seed)
    order = rng.permutation(np.flatnonzero(both >= LABELS))
    first, second = (round(sum(SHARES[: i + 1]) * len(order)) for i in range(2))
    few = of_classes(target, order[first:second])
    return World(
        of_classes(source, order[:first]),
        few.take(rows_of_each(few.labels, LABELS, rng)),
        *(of_classes(d, order[second:]) for d in (target, source)),
    )


def domains(case: str, seen: Seen | None = None) -> tuple[Domain, Domain]:
    """Source and target of `letters SCRIPT FAMILY FAMILY`, `emoji VENDOR VENDOR` or `nouns FORM FORM`, as features."""
    kind, *words = case.split()
    letters_, nouns_, emoji = seen or (in_family, meant, subgroups)
    if kind == "letters":
        return letters_(SCRIPTS[words[0]], words[1], COPIES), letters_(SCRIPTS[words[0]], words[2], COPIES)
    if kind == "nouns":
        return nouns_(words[0]), nouns_(words[1])
    return emoji(words[0]), emoji(words[1])


@functools.cache
def meant(form: str) -> Domain:
    """MiniLM's vectors of nouns, told in one of two forms; see `noun_kinds`."""
    domain = nouns(form)
    return domain.replace(x=worlds.minilm(domain.x.tolist()), kind="features")


Seen = tuple[Callable[[str, str, int], Domain], Callable[[str], Domain], Callable[[str], Domain]]
"""How letters, nouns and emoji are seen."""


def small_numbers(text: str, family: str, copies: int) -> Domain:
    """Letters of a family by their numbers, of pictures at a quarter of their size, in a tenth of the time."""
    return worlds.numbered(of_family(text, family, copies, 16))


def drawn_world(case: str, seed: int) -> World:
    """What a cell draws, of samples by their numbers."""
    return world(case, seed, (small_numbers, lambda form: worlds.numbered(nouns(form)), numbered_subgroups))


def read(case: str) -> list[Domain]:
    """What is read for a case, for a stamp: letters at a quarter of their size, in a tenth of the time."""
    kind, *words = case.split()
    if kind == "letters":
        return [letters(SCRIPTS[words[0]], COPIES, 16)]
    if kind == "nouns":
        return [nouns(form) for form in words]
    return of_vendors(words, level="subgroup")


# -- arms -----------------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Scored:
    """What names classes, with how known a sample is as a function of its scores; it rejects nothing by itself."""

    method: Any
    known: Callable[[Tensor], Tensor]

    def __call__(self, support: Domain) -> Scored:
        """Learn from a support."""
        fresh = (
            self.method.adapt(support=support)
            if isinstance(self.method, DAFOSNet)
            else type(self.method)().fit(support=support)
        )
        return dataclasses.replace(self, method=fresh)

    def scores(self, query: Domain) -> Tensor:
        """Of every class, (n, c)."""
        return self.method.decision_function(query)

    def predict(self, query: Domain) -> NDArray[np.int64]:
        """The class with the largest score."""
        return self.scores(query).argmax(dim=1).numpy()

    def uncertainty(self, query: Domain) -> NDArray[np.float64]:
        """Minus how known each sample is."""
        return -self.known(self.scores(query)).numpy().astype(np.float64)


def largest(scores: Tensor) -> Tensor:
    """The score of the nearest class."""
    return scores.amax(dim=1)


def probability(scores: Tensor) -> Tensor:
    """The largest probability."""
    return torch.softmax(scores, dim=1).amax(dim=1)


def discriminant(data: World) -> Callable[[Domain, Domain], Domain]:
    """Fisher's discriminant directions of all classes of source and target in meta-training, the covariance shrunk.

    Samples are centred on those of meta-training of their domain, which is given beside them.
    """
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    labels = joint_labels(data.source, data.target)
    centred = [part.x - part.x.mean(axis=0) for part in (data.source, data.target)]
    analysis = LinearDiscriminantAnalysis(solver="eigen", shrinkage=0.5).fit(
        np.concatenate(centred), np.concatenate(labels)
    )

    def view(domain: Domain, beside: Domain) -> Domain:
        return domain.replace(x=analysis.transform(domain.x - beside.x.mean(axis=0)).astype(np.float32))

    return view


def trained(data: World, seed: int, **settings: Any) -> DAFOSNet:
    """The method after meta-training on source and target."""
    method = DAFOSNet(**settings).set_params(random_state=seed)
    return method.fit(source=data.source, auxiliary=data.target)


def adapting(method: DAFOSNet) -> Callable[[Domain], DAFOSNet]:
    """What gives a support to a trained method."""
    return lambda support: method.adapt(support=support)


def graded(fit: Any, data: World) -> dict[int, EpisodeScores]:
    """On the exam's episodes, for what rejects nothing: with a threshold from other classes of the target."""
    return EXAM(fit, data.exam, thresholds=TUNING.tuned(fit, data.target))


def figures(scores: Mapping[int, EpisodeScores]) -> dict[str, float]:
    """Means over episodes by metric and number of shots."""
    return {
        f"{metric} {shot}": result.of(metric).mean
        for shot, result in scores.items()
        for metric in ("accuracy", *result.open)
    }


def ranked(fit: Any, data: World) -> dict[str, float]:
    """Of what neither rejects nor gets a threshold: what needs none."""
    return {name: value for name, value in figures(EXAM(fit, data.exam)).items() if name.startswith(("acc", "auroc"))}


def run(case: str, seed: int) -> Result:
    """All arms on the same episodes of classes that nothing was trained on, in the target."""
    data = world(case, seed)
    with reproducible(seed):
        full, bare = trained(data, seed), trained(data, seed, **BARE)
        untrained = trained(data, seed, epochs=0, fine_tune_epochs=0)
        means = Scored(Prototypes(), largest)
        table: Result = {
            "prototypes": figures(graded(means, data)),
            "linear probe": ranked(Scored(LinearProbe(), probability), data),
            "untrained encoder": ranked(Scored(untrained, largest), data),
            "dafosnet, distance": ranked(Scored(full, largest), data),
        }
        view = discriminant(data)
        flat = World(
            view(data.source, data.source), view(data.target, data.target),
            view(data.exam, data.target), view(data.exam_in_source, data.source),
        )  # fmt: skip
        table["discriminant prototypes"] = figures(graded(means, flat))
        for arm, method in (("prototypical network, judge", bare), ("dafosnet", full)):
            table[arm] = figures(EXAM(adapting(method), data.exam))
        table["chance"] = {f"auroc {shot}": 0.5 for shot in EXAM.shots}
        table |= hallucinated(full, data)
        in_source: dict[str, tuple[Any, Domain]] = {
            "prototypes": (means, data.exam_in_source),
            "discriminant prototypes": (means, flat.exam_in_source),
            "prototypical network, judge": (adapting(of_source(bare)), data.exam_in_source),
            "dafosnet": (adapting(of_source(full)), data.exam_in_source),
        }
        generalized(table, in_source)
    return table


def of_source(method: DAFOSNet) -> DAFOSNet:
    """The same, reading what is asked about by the batch normalization of the source."""
    sided = DAFOSNet(**method.get_params())
    vars(sided).update(method.fitted)
    sided.set_params(branch="source")
    return sided


def generalized(table: Result, arms: Mapping[str, tuple[Any, Domain]]) -> None:
    """Harmonic means over both domains, each read by its own batch normalization (the generalized protocol)."""
    for arm, (fit, exam) in arms.items():
        scores = figures(EXAM(fit, exam))
        for shot in EXAM.shots:
            for metric in ("accuracy", "auroc"):
                a, b = table[arm][f"{metric} {shot}"], scores[f"{metric} {shot}"]
                table[arm][f"generalized {metric} {shot}"] = 2 * a * b / (a + b)


@torch.no_grad()
def hallucinated(method: Any, data: World) -> Result:
    """What the GANs make of the classes of meta-training, means over both domains.

    How often it is nearest to the prototype of its class among those of the domain, and how far it is from it.
    """
    of_class = gan_labels(data.source.labels, data.target.labels)
    by_arm: dict[str, list[tuple[float, float]]] = {"low noise": [], "high noise": []}
    chance = []
    for side, domain, label in zip((SOURCE, TARGET), (data.source, data.target), map(torch.as_tensor, of_class)):
        place = label - int(label.min())
        n = int(place.max()) + 1
        p = prototypes(method.encoder_.of(torch.as_tensor(domain.x), side), place, n)
        chance.append(1 / n)
        for arm, gan in (("low noise", method.low_gan_), ("high noise", method.high_gan_)):
            d = distances(gan.generate(gan.noise(len(label)), label), p)
            right, own_d = d.argmin(dim=1) == place, d.gather(1, place[:, None])
            by_arm[arm].append((float(right.double().mean()), float(own_d.mean())))
    table: Result = {
        arm: dict(zip(("own class", "distance"), np.mean(values, axis=0).tolist())) for arm, values in by_arm.items()
    }
    return {**table, "guessing": {"own class": float(np.mean(chance))}}


@torch.no_grad()
def alike(method: Any, data: World) -> dict[str, float]:
    """Mean cosine of what the two GANs make of the same classes, and how far the domains are apart.

    That is the distance between the mean prototypes of both domains, of the exam's classes, as a share of the mean
    distance between the target's prototypes.
    """
    label = torch.as_tensor(np.concatenate(gan_labels(data.source.labels, data.target.labels)))
    low, high = (gan.generate(gan.noise(len(label)), label) for gan in (method.low_gan_, method.high_gan_))
    sides = ((SOURCE, data.exam_in_source), (TARGET, data.exam))
    source, target = (
        prototypes(method.encoder_.of(torch.as_tensor(d.x), side), torch.as_tensor(d.labels), len(d.classes or ()))
        for side, d in sides
    )
    gap = (source.mean(dim=0) - target.mean(dim=0)).norm() / torch.pdist(target).mean()
    return {"alike": float(torch.cosine_similarity(low, high, dim=1).mean()), "apart": float(gap)}


ABLATIONS: Mapping[str, Mapping[str, Any]] = {
    "dafosnet": {},
    "without GANs": {"use_low_gan": False, "use_high_gan": False},
    "without collapse loss": {"collapse_loss": "none"},
    "without alignment": {"align": "none"},
    "without diversification": {"weights": (1.0, 0.3, 0.05, 0.0, 0.0, 0.05)},
    "without dsbn": {"dsbn": False},
}


SHORT: Mapping[str, Any] = {"epochs": 15, "fine_tune_epochs": 3}
"""Of every arm, the whole method's, too."""


def ablated(case: str, seed: int) -> Result:
    """The method without one of its parts each, on the same episodes; `auroc` and `accuracy` are means over shots."""
    data = world(case, seed)
    table: Result = {}
    for arm, settings in ABLATIONS.items():
        with reproducible(seed):
            method = trained(data, seed, **SHORT, **settings)
            scores = EXAM(adapting(method), data.exam)
            table[arm] = {
                metric: float(np.mean([result.of(metric).mean for result in scores.values()]))
                for metric in ("accuracy", "auroc")
            }
        table[arm] |= alike(method, data)
    return table


CASES = {
    "development": (
        "letters development DejaVuSerif STIXGeneral",
        "letters development cm DejaVuSans",
        "emoji noto openmoji",
        "emoji fluent-emoji-flat twemoji",
    ),
    "confirmation": (
        "letters greek DejaVuSans STIXGeneral",
        "nouns definitions words",
        "letters cyrillic STIXGeneral DejaVuSerif",
        "nouns words definitions",
        "letters armenian DejaVuSerif DejaVuSansMono",
    ),
}
"""Pairs of domains, each with enough classes of ten samples for an exam of five classes and five unknown."""

# fmt: off
LEDGER: tuple[Assertion, ...] = (
    effect("parts", better("dafosnet", "without collapse loss", "alike", lower=True),
        "What the two GANs make of the same classes is less alike with the collapse loss than without."),
    mechanism("episodes", better("low noise", "guessing", "own class", by=0.1),
        "What the low-noise GAN makes of a class lies nearest to its prototype more often than by chance."),
    effect("episodes", better("high noise", "low noise", "distance"),
        "What the high-noise GAN makes of a class lies farther from its prototype than what the low-noise one makes."),
    effect("parts", better("dafosnet", "without alignment", "apart", lower=True),
        "With the alignment, the mean prototypes of new classes lie closer in both domains, beside the distances "
        "between the target's prototypes."),
    mechanism("episodes", better("dafosnet", "chance", "auroc 1", by=0.05),
        "The outlier network tells samples of new classes with one label each from those of none, better than chance."),
    mechanism("episodes", better("dafosnet", "chance", "auroc 5", by=0.05),
        "The outlier network tells samples of new classes with five labels each from those of none."),
    effect("episodes", better("dafosnet", "prototypes", "auroc 1", by=0.03),
        "With one label it tells known from unknown better than the distance to prototypes of frozen features."),
    effect("episodes", better("dafosnet", "prototypes", "auroc 5", by=0.03),
        "With five labels it tells known from unknown better than the distance to prototypes of frozen features."),
    effect("episodes", not_worse("dafosnet", "prototypes", "accuracy 1", within=0.01),
        "With one label it names known samples as well as prototypes of frozen features do."),
    effect("episodes", not_worse("dafosnet", "prototypes", "accuracy 5", within=0.01),
        "With five labels it names known samples as well as prototypes of frozen features do."),
    effect("episodes", better("dafosnet", "prototypes", "open_accuracy 1"),
        "With one label, more samples are named or rejected right than by prototypes with a tuned threshold."),
    effect("episodes", better("dafosnet", "prototypes", "open_accuracy 5"),
        "With five labels, more samples are named or rejected right than by prototypes with a tuned threshold."),
    effect("episodes", better("dafosnet", "linear probe", "auroc 5"),
        "With five labels it tells known from unknown better than the largest probability of a linear probe."),
    effect("episodes", better("dafosnet", "discriminant prototypes", "auroc 1"),
        "With one label it tells known from unknown better than prototypes in Fisher's discriminant space, which is "
        "learnt of the same samples in a second."),
    effect("episodes", better("dafosnet", "discriminant prototypes", "auroc 5"),
        "With five labels it tells known from unknown better than prototypes in Fisher's discriminant space."),
    effect("episodes", better("dafosnet", "discriminant prototypes", "accuracy 1"),
        "With one label it names known samples better than prototypes in Fisher's discriminant space."),
    effect("episodes", better("dafosnet", "discriminant prototypes", "accuracy 5"),
        "With five labels it names known samples better than prototypes in Fisher's discriminant space."),
    effect("episodes", better("dafosnet", "discriminant prototypes", "open_accuracy 1"),
        "With one label, more samples are named or rejected right than by prototypes in Fisher's discriminant space "
        "with a tuned threshold."),
    effect("episodes", better("dafosnet", "discriminant prototypes", "open_accuracy 5"),
        "With five labels, more samples are named or rejected right than by prototypes in Fisher's discriminant space "
        "with a tuned threshold."),
    effect("episodes", better("dafosnet", "dafosnet, distance", "auroc 5"),
        "The outlier network is better than the distance that it reads."),
    effect("episodes", better("dafosnet", "prototypical network, judge", "auroc 1"),
        "With one label it is better than a prototypical network with a rejecting network, without GANs and the other "
        "losses, trained for as long."),
    effect("episodes", better("dafosnet", "prototypical network, judge", "auroc 5"),
        "With five labels it is better than a prototypical network with a rejecting network."),
    effect("episodes", better("dafosnet", "untrained encoder", "accuracy 1"),
        "Meta-training over both domains makes an embedding that names new classes of the target better."),
    effect("episodes", better("dafosnet", "prototypes", "generalized auroc 5"),
        "Over both domains, known and unknown are told apart better than by prototypes of frozen features."),
    effect("episodes", better("dafosnet", "discriminant prototypes", "generalized auroc 5"),
        "Over both domains, and better than by prototypes in Fisher's discriminant space."),
    effect("parts", better("dafosnet", "without GANs", "auroc"),
        "Features that are made by the pair of GANs help to reject."),
    effect("parts", better("dafosnet", "without GANs", "accuracy"),
        "Features that are made by the pair of GANs help to name."),
    effect("parts", better("dafosnet", "without collapse loss", "auroc"),
        "Keeping what the two GANs make apart helps to reject."),
    effect("parts", better("dafosnet", "without alignment", "accuracy"),
        "Aligning the mean prototypes of both domains helps to name."),
    effect("parts", better("dafosnet", "without diversification", "accuracy"),
        "Pushing other samples away from each prototype helps to name."),
    effect("parts", better("dafosnet", "without dsbn", "accuracy"),
        "A batch normalization of its own for each domain helps to name."),
    paper_scale("Efficacy on Office-Home, mini-ImageNet with CUB, and DomainNet.",
        "These sets are not at hand. With folders of both domains: `unseen episodes TARGET --source SOURCE --base 0.5 "
        "--way 5 --shot 1,5 --unknown 5 --episodes 600 --methods prototypes,dafosnet`; not run."),
    not_testable("It is the first that solves few-shot learning, domain shift and unknown classes at once.",
        "It is about the field in 2023; what stands here are comparisons on identical episodes."),
)

claim = Claim(
    slug="dafosnet",
    ledger=LEDGER,
    experiments={
        "episodes": Experiment(
            run=run, data=read, drawn=drawn_world, unit="pair of domains", **seeds(1),
            development=CASES["development"], confirmation=CASES["confirmation"]),
        "parts": Experiment(
            run=ablated, data=read, drawn=drawn_world, unit="pair of domains", **seeds(1),
            development=CASES["development"][::2], confirmation=CASES["confirmation"][:3]),
    },
    licences=(worlds.FONTS, worlds.EMOJI, worlds.LITE0, worlds.MINILM, "WordNet 3.1: WordNet licence"),
)
# fmt: on
