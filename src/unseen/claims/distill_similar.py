"""DistillWeighted's claim: a small network, few labels of one version of a vendor's emoji, and a zoo of larger networks
of other tasks; and digits as pictures, where FixMatch has views."""

from __future__ import annotations

import functools
import math
import os
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from unseen.claims import behaviours, worlds
from unseen.claims.arms import least_seconds, parted
from unseen.claims.base import Claim, Experiment, Result, of_both, seeds
from unseen.claims.conditions import at_least, at_most, better, equals
from unseen.claims.drawings import VENDORS, of_half, of_vendors
from unseen.claims.ledger import effect, mechanism, paper_scale, promised
from unseen.claims.meta_dmoe import digits
from unseen.claims.shifts import numbered_subgroups, subgroups
from unseen.claims.styles import Style, drawn
from unseen.data.augment import Augment, jitter, random_crop, random_resized_crop
from unseen.data.domain import Domain, concatenate
from unseen.data.samplers import tensor
from unseen.evaluation.metrics.classification import accuracy
from unseen.evaluation.metrics.selection import rank_correlation
from unseen.methods.adaptation.distill_similar import DistillSimilar
from unseen.methods.base import Method
from unseen.methods.baselines.fixmatch import FixMatch
from unseen.nn.classifier import Classifier, as_classifier, feature_classifier, measure_again, train_source
from unseen.nn.convnet import small_convnet
from unseen.nn.transferability import Similarity
from unseen.nn.zoo import Outputs, rank_teachers, zoo_outputs
from unseen.runtime import reproducible

Zoo = Mapping[str, nn.Module]
Task = tuple[Domain, Domain, Domain]
"""Few labelled samples, unlabeled ones, and the exam: others again."""

METRICS: tuple[Similarity, ...] = ("parc", "leep", "h-score", "knn", "cka")
LIVING = ("people & body", "animals & nature", "food & drink", "smileys & emotion")


SHOTS = {"emoji": 3, "digits": 2}


def draw_of(case: str, seed: int) -> np.random.Generator:
    """The random numbers of a cell, which shares them with no other case or seed."""
    return np.random.default_rng([seed, zlib.crc32(case.encode())])


def few_labels(domain: Domain, shots: int, n: int, rng: np.random.Generator) -> Task:
    """`shots` labelled samples of each class; of the others half, at most `n`, as unlabeled ones, and half as exam.

    Classes with fewer than 3 `shots` samples are left out.
    """
    domain = domain.take(np.bincount(domain.labels)[domain.labels] >= 3 * shots)
    domain = relabeled(domain, domain.labels)
    order = rng.permutation(len(domain))
    few = np.concatenate([order[domain.labels[order] == label][:shots] for label in np.unique(domain.labels)])
    others = order[~np.isin(order, few)]
    return domain.take(few), domain.take(others[::2][:n]).unlabeled(), domain.take(others[1::2][:n])


# -- emoji: features, up to 29 classes -----------------------------------------------------------------------


@functools.cache
def version(vendor: str, split: str, seen: Callable[[str], Domain] | None = None) -> Domain:
    """The emoji of a split, by a bit of their hashes as in `drawings`, as a version of a vendor draws them."""
    every = (seen or subgroups)(vendor)
    return every.take(of_half(every, split))


def relabeled(domain: Domain, keys: Any) -> Domain:
    """The samples with the classes that `keys` tell apart."""
    return domain.replace(y=np.unique(np.asarray(keys), return_inverse=True)[1], classes=None)


def emoji_tasks(split: str, target: str, seed: int, seen: Callable[[str], Domain] | None = None) -> dict[str, Domain]:
    """What the sources learnt: the target's classes from two other versions, coarser ones, parts of them, and tasks
    that have little or nothing to do with them."""
    rng = np.random.default_rng(seed)
    a, b, c, d = (version(vendor, split, seen) for vendor in VENDORS[split] if vendor != target)
    living = [np.isin(part.columns["group"], LIVING) for part in (c, d)]
    everyone = concatenate([a, b, c, d], name="all vendors")
    some = everyone.take(rng.permutation(len(everyone))[: len(a)])
    return {
        "subgroups a": relabeled(a, a.labels),
        "subgroups b": relabeled(b, b.labels),
        "groups c": relabeled(c, c.columns["group"]),
        "living c": relabeled(c.take(living[0]), c.labels[living[0]]),
        "things d": relabeled(d.take(~living[1]), d.labels[~living[1]]),
        "vendors": relabeled(some, some.columns["domain"]),
        "letters d": relabeled(d, [name[0] for name in d.columns["name"].tolist()]),
        "random": relabeled(b, rng.integers(0, 20, len(b))),
    }


def trained(tasks: Mapping[str, Domain], start: Any, seed: int, **settings: Any) -> Zoo:
    """The networks: no data of theirs is used from here on."""
    networks: dict[str, nn.Module] = {}
    for name, source in tasks.items():
        with reproducible(seed):
            network: Classifier = start(int(source.labels.max()) + 1)
            networks[name] = train_source(network, source, **settings)
    return networks


def emoji_cell(case: str, seed: int) -> tuple[Zoo, Task]:
    """The case is `SPLIT VERSION`, that of the target; the sources are of the others."""
    split, target = case.split()
    zoo = trained(emoji_tasks(split, target, seed), lambda n: feature_classifier(1280, n, 256), seed, epochs=15)
    return zoo, emoji_task(case, seed)


def emoji_task(case: str, seed: int, seen: Callable[[str], Domain] | None = None) -> Task:
    """The task of the target."""
    split, target = case.split()
    return few_labels(version(target, split, seen), SHOTS["emoji"], 1000, draw_of(case, seed))


def drawn_of_emoji(case: str, seed: int) -> list[Any]:
    """What a cell draws: the tasks of the sources, and that of the target."""
    split, target = case.split()
    return [emoji_tasks(split, target, seed, numbered_subgroups), emoji_task(case, seed, numbered_subgroups)]


def run_emoji(case: str, seed: int) -> Result:
    """All arms, and each source alone."""
    zoo, task = emoji_cell(case, seed)
    return Arms(zoo, task, seed, width=64).ranked()


# -- digits: pictures, 10 classes ----------------------------------------------------------------------------

STYLES: Mapping[str, Style] = {
    "turned": Style(turn=25.0),
    "inverted": Style(inverted=True, blur=0.7),
    "slanted": Style(slant=0.6, noise=0.1),
    "turned back": Style(turn=-35.0, noise=0.1),
    "stretched": Style(stretch=1.5, noise=0.1),
    "slanted back": Style(slant=-0.6, blur=0.7),
    "squeezed": Style(stretch=0.7, pale=True),
    "inverted and turned": Style(inverted=True, turn=15.0, noise=0.1),
}


def as_domain(ink: np.ndarray, y: np.ndarray) -> Domain:
    """Pictures with one channel."""
    return Domain(x=ink[:, None].astype(np.float32), y=y.astype(np.int64), kind="image")


@functools.cache
def digit_zoo(half: int, seed: int) -> Zoo:
    """Networks of handwritten digits in four styles, of printed ones, of parity, and of random labels."""
    return trained(digit_tasks(half, seed), lambda n: small_convnet(n, 1, 16), seed, epochs=12, learning_rate=0.1)


def digit_tasks(half: int, seed: int) -> dict[str, Domain]:
    """What these networks learn."""
    rng = np.random.default_rng(seed)
    (hand, y), (printed, z) = digits("handwritten", half), digits("printed", half)
    tasks = {name: (drawn(hand, style, rng), y) for name, style in {
        "plain": Style(), "turned": Style(turn=60.0), "inverted": Style(inverted=True), "slanted": Style(slant=1.0)
    }.items()}  # fmt: skip
    tasks |= {"printed": (printed, z), "parity": (hand, y % 2), "random": (hand, rng.integers(0, 10, len(y)))}
    return {name: as_domain(*(part[:800] for part in pair)) for name, pair in tasks.items()}


def drawn_of_digits(case: str, seed: int) -> list[Any]:
    """What a cell draws: the tasks of the sources, and that of the target."""
    return [digit_tasks(1 - int(case[0]), seed), digits_task(case, seed)]


def digits_task(case: str, seed: int) -> Task:
    """The case is `HALF STYLE`."""
    half, style = case.split(" ", 1)
    ink, y = digits("handwritten", int(half))
    rng = draw_of(case, seed)
    return few_labels(as_domain(drawn(ink, STYLES[style], rng), y), SHOTS["digits"], 400, rng)


def run_digits(case: str, seed: int) -> Result:
    """The arms on one target; targets and sources are of two halves of the pictures. All see crops, none mirrored."""
    zoo = digit_zoo(1 - int(case[0]), seed)
    arms = Arms(zoo, digits_task(case, seed), seed, width=48, views="crop", online=True, steps=200)
    table, exam = arms.compared(), tensor(arms.exam)
    table["decoy"] = {"accuracy": arms.graded(arms.learn(["random"], power=0.0))}
    table["weighted"]["time"] = seconds(arms.weighted.network_, exam) / seconds(zoo[arms.nearest], exam)
    return table


@torch.no_grad()
def seconds(network: nn.Module, x: Tensor) -> float:
    """The least time of some runs over all samples."""
    return least_seconds(lambda: network(x), 20)


# -- arms ----------------------------------------------------------------------------------------------------


class Student(DistillSimilar):
    """With the rate of FixMatch, cos(7 pi k / 16 K), and its weight decay."""

    weight_decay: float = 5e-4

    @staticmethod
    def _schedule(optimizer: torch.optim.Optimizer, steps: int) -> LRScheduler:
        return LambdaLR(optimizer, lambda step: math.cos(7 * math.pi * step / (16 * steps)))


class Unmirrored(FixMatch):
    """Weak views of pictures are the crops of the other arms; strong ones as FixMatch has them, not mirrored."""

    def _views(self, support: Domain, target: Domain) -> tuple[Augment, Augment]:
        if support.kind != "image":
            return super()._views(support, target)
        return random_crop, lambda x, g: jitter(random_resized_crop(x, g, scale=(0.7, 1.0)), g)


class Arms:
    """Students of one task that learn in different ways, all of one size but `fine-tuned`."""

    def __init__(self, zoo: Zoo, task: Task, seed: int, **settings: Any) -> None:
        self.zoo, self.seed = zoo, seed
        self.settings: dict[str, Any] = {"random_state": seed} | settings
        self.support, self.unlabeled, self.exam = task
        self.scores = rank_teachers(zoo, self.support, METRICS, n_dims=32).set_index("name")
        self.nearest = str(self.scores["parc"].idxmax())
        self.weighted = self.learn()

    def learn(self, names: Iterable[str] = (), model: nn.Module | None = None, **settings: Any) -> Student:
        """A student of the sources of these names, or of all."""
        method = Student(**self.settings | settings)
        teachers = {name: self.zoo[name] for name in names or self.zoo}
        return method.fit(support=self.support, target=self.unlabeled, teachers=teachers, model=model)

    def graded(self, method: Method) -> float:
        """Accuracy on the exam."""
        return accuracy(self.exam.labels, method.predict(self.exam))

    def fine_tuned(self) -> Student:
        """The nearest source, standardized for the target, with the rate that is best on a third of the labels."""
        body = as_classifier(self.zoo[self.nearest])
        measure_again(body, concatenate([self.support.unlabeled(), self.unlabeled]))
        learn, check = parted(self.support, 1 / 3, self.seed)
        scores = {}
        for rate in (0.1, 0.01):
            method = Student(**self.settings | {"labels": 1.0, "learning_rate": rate})
            method.fit(support=learn, target=self.unlabeled, teachers=self.zoo, model=body)
            scores[rate] = accuracy(check.labels, method.predict(check))
        return self.learn(model=body, labels=1.0, learning_rate=max(scores, key=scores.__getitem__))

    def compared(self) -> Result:
        """The ways of the abstract."""
        shared = {key: value for key, value in self.settings.items() if key in ("random_state", "width", "steps")}
        fixmatch = Unmirrored(**shared)
        methods: dict[str, Method] = {
            "labels alone": self.learn(labels=1.0),
            "statistics of both": self.learn([self.nearest], labels=1 - 1e-6),  # a distillation that counts for nothing
            "fixmatch": fixmatch.fit(support=self.support, target=self.unlabeled),
            "fine-tuned": self.fine_tuned(),
            "nearest": self.learn([self.nearest]),
            "weighted": self.weighted,
        }
        return {arm: {"accuracy": self.graded(method)} for arm, method in methods.items()}

    def ranked(self) -> Result:
        """And each source alone, beside its similarities."""
        alone = {name: self.graded(self.learn([name], power=0.0)) for name in self.zoo}
        values = {
            "random source": float(np.mean(list(alone.values()))),
            "decoy": alone["random"],
            "equal": self.graded(self.learn(power=0.0)),
            "worst source": min(alone.values()),
            "best source": max(alone.values()),
        }
        table = self.compared() | {arm: {"accuracy": value} for arm, value in values.items()}
        for metric in METRICS:
            scores = self.scores[metric].loc[list(alone)].to_numpy()
            table[metric] = {"rank correlation": rank_correlation(scores, list(alone.values()))}
        table["weighted"]["decoy's share"] = self.weighted.weights_["random"]
        for name, value in alone.items():
            table[f"from {name}"] = {"accuracy": value, "parc": float(self.scores["parc"].loc[name])}
        return table


# -- without sources -----------------------------------------------------------------------------------------


class Recorded(nn.Module):
    """A table in place of a layer: what it once gave for a sample, and nothing for any other."""

    def __init__(self, known: np.ndarray, given: np.ndarray) -> None:
        super().__init__()
        self.rows = {row.tobytes(): i for i, row in enumerate(known)}
        self.register_buffer("given", torch.as_tensor(given))

    def forward(self, x: Tensor) -> Tensor:
        """The rows of the table."""
        return self.given[[self.rows[row.tobytes()] for row in x.numpy()]]  # type: ignore[index]


def run_apart(case: str, seed: int) -> Result:
    """Learn again in a process that has the task's samples and tables of features and predictions, no more."""
    zoo, (support, unlabeled, exam) = emoji_cell(case, seed)
    here = DistillSimilar(width=64).set_params(random_state=seed)
    here.fit(support=support, target=unlabeled, teachers=zoo)
    outputs: Outputs = zoo_outputs(zoo, concatenate([support.unlabeled(), unlabeled]))
    tables: dict[str, Any] = {
        f"{kind} {name}": t.numpy() for name, pair in outputs.items() for kind, t in zip(("z", "logits"), pair)
    }
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder) / "given.npz", support=support.x, labels=support.labels, new=unlabeled.x, exam=exam.x,
                 seed=seed, **tables)  # fmt: skip
        code = f"import sys; from {__name__} import learn_apart; learn_apart(sys.argv[1])"
        environment = os.environ | {
            "UNSEEN_CACHE": str(Path(folder) / "empty"),
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        subprocess.run([sys.executable, "-c", code, folder], check=True, env=environment)  # noqa: S603
        there = np.load(Path(folder) / "predicted.npy")
    return {"weighted": {"same predictions": float((there == here.predict(exam)).mean())}}


def learn_apart(folder: str) -> None:
    """What the process of `run_apart` does."""
    given = np.load(Path(folder) / "given.npz")
    samples = np.concatenate([given["support"], given["new"]])
    teachers = {
        key.removeprefix("z "): Classifier(
            Recorded(samples, given[key]), nn.Identity(), Recorded(given[key], given[key.replace("z ", "logits ", 1)])
        )
        for key in given.files
        if key.startswith("z ")
    }
    method = DistillSimilar(width=64).set_params(random_state=int(given["seed"]))
    method.fit(support=Domain(x=given["support"], y=given["labels"]), target=Domain(x=given["new"]), teachers=teachers)
    np.save(Path(folder) / "predicted.npy", method.predict(Domain(x=given["exam"])))


def behaviour() -> dict[str, Any]:
    """How similar the networks of a zoo are to a task, by each measure."""
    task = behaviours.blobs()
    with reproducible(0):
        zoo = {f"{n} classes": feature_classifier(task.n_features, n, 8).eval() for n in (3, 5)}
    ranking = rank_teachers(zoo, task, METRICS).set_index("name").loc[list(zoo)]
    return {metric: ranking[metric].to_numpy(dtype=float) for metric in METRICS}


# fmt: off
LEDGER = (
    mechanism("emoji", better("nearest", "random source", "accuracy"),
        "A measure of similarity picks a suitable source: the nearest is better than a source at random."),
    effect("emoji", better("statistics of both", "decoy", "accuracy"),
        "A good choice is imperative: distilling from an unsuitable source is worse than from none."),
    effect("digits", better("statistics of both", "decoy", "accuracy"),
        "A good choice is imperative on pictures: distilling from an unsuitable source is worse than from none."),
    effect("emoji", at_least("parc", "rank correlation", 0.5),
        "Similarity (PARC) foretells the accuracy of distilling from a source: rank correlation >= .5."),
    effect("emoji", better("nearest", "labels alone", "accuracy"),
        "DistillNearest outperforms transfer: labels alone, on features from ImageNet."),
    effect("emoji", better("nearest", "statistics of both", "accuracy"),
        "It is the distillation: DistillNearest outperforms labels alone with BatchNorm statistics of both."),
    promised("digits", better("nearest", "labels alone", "accuracy"),
        "DistillNearest outperforms labels alone on pictures."),
    promised("digits", better("nearest", "statistics of both", "accuracy"),
        "It is the distillation on pictures: DistillNearest outperforms labels alone with BatchNorm statistics of "
        "both."),
    effect("emoji", better("weighted", "nearest", "accuracy"),
        "A single source does not always match: DistillWeighted is better than DistillNearest."),
    effect("digits", better("weighted", "nearest", "accuracy"),
        "A single source does not always match on pictures: DistillWeighted is better than DistillNearest."),
    effect("emoji", at_most("weighted", "decoy's share", 0.01),
        "DistillWeighted weighs by relevance: a source of random labels gets less than .01."),
    effect("emoji", better("weighted", "equal", "accuracy"), "Weights by relevance are better than equal ones."),
    mechanism("apart", equals("weighted", "same predictions", 1.0),
        "No source data is needed, only features and pseudo-labels of the source models: a process that has tables "
        "of these alone learns the same student."),
    mechanism("digits", at_most("weighted", "time", 0.5),
        "The result is a single efficient model: at most half of a source's time for a picture."),
    effect("emoji", better("weighted", "labels alone", "accuracy"),
        "DistillWeighted outperforms transfer: labels alone, on features from ImageNet."),
    effect("emoji", better("weighted", "statistics of both", "accuracy"),
        "It is the distillation: DistillWeighted outperforms labels alone with BatchNorm statistics of both."),
    promised("digits", better("weighted", "labels alone", "accuracy"),
        "DistillWeighted outperforms labels alone on pictures."),
    promised("digits", better("weighted", "statistics of both", "accuracy"),
        "It is the distillation on pictures: DistillWeighted outperforms labels alone with BatchNorm statistics of "
        "both."),
    effect("emoji", better("weighted", "fine-tuned", "accuracy"),
        "DistillWeighted outperforms the larger nearest source, fine-tuned."),
    effect("emoji", better("nearest", "fine-tuned", "accuracy"),
        "DistillNearest outperforms the larger nearest source, fine-tuned."),
    effect("digits", better("weighted", "fine-tuned", "accuracy"),
        "DistillWeighted outperforms the larger nearest source, fine-tuned, on pictures."),
    effect("digits", better("nearest", "fine-tuned", "accuracy"),
        "DistillNearest outperforms the larger nearest source, fine-tuned, on pictures."),
    effect("emoji", better("weighted", "fixmatch", "accuracy"),
        "DistillWeighted outperforms FixMatch, where views of features are noise."),
    effect("emoji", better("nearest", "fixmatch", "accuracy"),
        "DistillNearest outperforms FixMatch, where views of features are noise."),
    effect("digits", better("weighted", "fixmatch", "accuracy"), "DistillWeighted outperforms FixMatch on pictures."),
    effect("digits", better("nearest", "fixmatch", "accuracy"), "DistillNearest outperforms FixMatch on pictures."),
    paper_scale("Over 8 targets DistillWeighted gains 5.6 points on transfer from ImageNet, and 4.5 on FixMatch.",
        "The 28 source models and most targets are not at hand. With a folder of saved models and folders of the "
        "target: `unseen adapt --method distill-similar --preset paper --support DIR --target DIR --teachers DIR "
        "--out MODEL`, for cached features; with networks that read pictures, `DistillSimilar(...).fit(model=a "
        "MobileNet, teachers=...)`; not run."),
)
def read(case: str) -> list[Domain]:
    """The drawings of a split's vendors, for a stamp."""
    return of_vendors(VENDORS[case.split()[0]], "name", "group", level="subgroup")


claim = Claim(
    slug="distill-similar",
    ledger=LEDGER,
    behaviour=behaviour,
    experiments={
        "emoji": Experiment(
            run=run_emoji, data=read, drawn=drawn_of_emoji, unit="version of a vendor, the target",
            **of_both(VENDORS)),
        "digits": Experiment(
            run=run_digits, drawn=drawn_of_digits, clocks=("time",),
            data=lambda case: [worlds.digits(style, 16, 10) for style in ("handwritten", "printed")],
            development=("0 turned", "0 inverted", "0 slanted"),
            confirmation=("1 turned back", "1 stretched", "1 slanted back", "1 squeezed", "1 inverted and turned"),
            unit="style of the target"),
        "apart": Experiment(
            run=run_apart, data=read, drawn=drawn_of_emoji, development=("development noto",),
            confirmation=("confirmation fluent-emoji",),
            unit="version of a vendor, the target", **seeds(1)),
    },
    licences=(worlds.EMOJI, worlds.DIGITS, worlds.FONTS),
)
# fmt: on
