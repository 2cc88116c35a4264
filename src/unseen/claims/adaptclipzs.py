"""AdaptCLIPZS's claim: towers that learn seen animals and foods by bags of sentences know unseen ones better."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from unseen.catalogue import make
from unseen.claims import bags, worlds
from unseen.claims.base import Claim, Experiment, Result, of_both, seeds
from unseen.claims.conditions import better, not_worse
from unseen.claims.drawings import by, first_by_hash, of_half
from unseen.claims.ledger import effect, mechanism, not_testable, paper_scale, promised
from unseen.data.classes import ClassSpace
from unseen.data.descriptions import DescriptionBank, Sentence
from unseen.data.rows import unit_rows
from unseen.encoders.promptable import tokenizer_of
from unseen.evaluation.metrics.zero_shot import mean_class_top1
from unseen.methods.multimodal.adaptclipzs import AdaptCLIPZS
from unseen.nn.layer_statistics import row_reader
from unseen.nn.prompting import PromptableText, PromptableTowers, pooled_text_of
from unseen.validation.rehearsal import pretend_unseen

BUDGET: Mapping[str, Any] = {
    "template": bags.TEMPLATE, "order": "balanced", "each": 4, "epochs": 30, "learning_rate": 2e-3,
    "projection_rate": 2e-3, "tau": 2.0,
}  # fmt: skip
"""Of the arms that train the towers. On development splits rates of 1e-3, 2e-3 and 4e-3, 15 and 30 epochs, and T of 1
and 2 were looked at, for these arms and for those with one sentence alike."""
SINGLE: Mapping[str, Any] = {"order": "shuffled", "epochs": 15, "learning_rate": 1e-3, "projection_rate": 1e-3}
"""Of arms with one sentence of each class, which did best so."""
PROMPT: Mapping[str, Any] = {"batch_size": 1000, "shots": 0, "words": "an emoji of"}
"""Of the prompt learner: a step each epoch, on all pictures."""
PROMPT_RATES, PROMPT_STEPS = (0.002, 0.02, 0.1, 0.5), (8, 15, 30)
"""Of which pairs the best on half of the seen classes, learnt from the other half, is taken in each run: twelve, as
many as were looked at for the arms that train the towers (on development splits)."""
PENALTIES = (0.01, 0.1, 1.0, 10.0)
OTHERS = 100
"""Emoji of other groups, by which what is lost elsewhere is measured."""

Arms = Mapping[str, tuple[DescriptionBank, Mapping[str, Any]]]
"""What is said of classes, and what an arm has that is not in the budget."""


def unseen(case: str, seed: int) -> Result:
    """All arms on one split of classes. The case is `SPLIT FIFTH`: which fifth of the classes is unseen.

    `accuracy` is the mean over unseen classes, among these; `other` the accuracy among 100 emoji of other groups, which
    no arm has pictures of: what fine-tuning loses elsewhere.
    """
    split, fifth = case.split()
    data = bags.classes_of(split, int(fifth))
    single, names = in_one_sentence(data.bank, data.classes.names), names_alone(data)
    arms: Arms = {
        "zero-shot": (names, {"epochs": 0}),
        "zero-shot, sentences": (data.bank, {"epochs": 0}),
        "names": (names, SINGLE),
        "names and keywords": (single, SINGLE),
        "bag": (data.bank, {}),
        "pair": (data.bank, {"loss": "pair"}),
        "pair, shuffled order": (data.bank, {**SINGLE, "loss": "pair"}),
        "learnt from dealt sentences": (dealt(data, seed), {}),
        "dealt at test, too": (data.bank.shuffled(seed), {}),
        "visual": (data.bank.only("visual"), {}),
        "taxonomy": (data.bank.only("taxonomy"), {}),
    }
    asked = data.classes.take(data.classes.unseen)
    truth = data.exam.labels
    table: Result = {}

    def told_by(method: Any, bank: DescriptionBank) -> dict[str, float]:
        own_bags = DescriptionBank({name: bank[name] for name in asked.names})
        return {"accuracy": mean_class_top1(truth, data.classes.unseen[method.predict(data.exam, asked, own_bags)])}

    for arm, (bank, settings) in arms.items():
        method = learnt(data, bank, seed, **settings)
        table[arm] = {"accuracy": mean_class_top1(truth, method.predict(data.exam)), "other": elsewhere(method, split)}
        if arm == "learnt from dealt sentences":
            table[arm] |= told_by(method, data.bank)
            table[f"{arm}, names at test"] = told_by(method, names)
        if arm == "bag":
            table["bag, names at test"] = told_by(method, names)
            for pool in ("mean_logit", "mean_embedding"):
                method.set_params(pool=pool)
                table[pool.replace("_", " ")] = {"accuracy": mean_class_top1(truth, method.predict(data.exam))}
    predicted = ridge(data, [single.sentences([name], bags.TEMPLATE).texts[0] for name in data.classes.names], seed)
    table["ridge"] = {"accuracy": mean_class_top1(truth, predicted)}
    return table


def prompted(case: str, seed: int) -> Result:
    """Prompt tuning beside it, with pictures of a fifth of the classes: the text tower is read for each of them in each
    step. The case is `SPLIT FIFTH`."""
    split, fifth = case.split()
    data = bags.classes_of(split, int(fifth), few=True)
    names = names_alone(data)
    arms: Arms = {"zero-shot": (names, {"epochs": 0}), "names": (names, SINGLE), "bag": (data.bank, {})}
    return accuracies(arms, data, seed) | {"prompt tuning": prompt_tuning(data, seed)}


def drawn_elsewhere(case: str, seed: int) -> Result:
    """The same for pictures by vendors of whom nothing was learnt: another domain, as iNaturalist's photos to CUB's."""
    split, fifth = case.split()
    data = of_two_vendors(bags.classes_of(split, int(fifth)), split)
    arms: Arms = {
        "zero-shot": (names_alone(data), {"epochs": 0}),
        "names and keywords": (in_one_sentence(data.bank, data.classes.names), SINGLE),
        "bag": (data.bank, {}),
    }
    return accuracies(arms, data, seed)


def of_two_vendors(data: bags.Classes, split: str) -> bags.Classes:
    """Pictures of two vendors to learn from, those of the others to be asked about."""
    source, exam = (np.isin(part.columns["domain"], bags.VENDORS[split][:2]) for part in (data.source, data.exam))
    return data._replace(source=data.source.take(source), exam=data.exam.take(~exam))


def drawn_fifth(case: str, seed: int, few: bool = False, elsewhere: bool = False) -> list[Any]:
    """What a cell draws, of pictures by their numbers: pictures and classes, and what is said of these, also dealt."""
    split, fifth = case.split()
    data = bags.classes_of(split, int(fifth), few, bags.numbered_features, glosses=False)
    data = of_two_vendors(data, split) if elsewhere else data
    said = [[s.text for s in bank[name]] for bank in (data.bank, dealt(data, seed)) for name in data.classes.names]
    return [data.source, data.exam, data.classes, said]


def learnt(data: bags.Classes, bank: DescriptionBank, seed: int, **settings: Any) -> Any:
    """The towers after pictures of the seen classes, told by a bank."""
    method = AdaptCLIPZS(**{**BUDGET, **settings, "random_state": seed})
    return method.fit(source=data.source, classes=data.classes, encoder=bags.towers(), prompts=bank)


def accuracies(arms: Arms, data: bags.Classes, seed: int) -> Result:
    """Of arms among unseen classes, the mean over these."""
    predictions = {
        arm: learnt(data, bank, seed, **settings).predict(data.exam) for arm, (bank, settings) in arms.items()
    }
    return {arm: {"accuracy": mean_class_top1(data.exam.labels, labels)} for arm, labels in predictions.items()}


def names_alone(data: bags.Classes) -> DescriptionBank:
    """Nothing is said of a class but its name."""
    return DescriptionBank(dict.fromkeys(data.classes.names, ()))


# -- other arms ----------------------------------------------------------------------------------------------


def dealt(data: bags.Classes, seed: int) -> DescriptionBank:
    """The bags of seen classes dealt among these, each with the right name; those of unseen classes as they are."""
    names = data.classes.names
    seen, unseen = ([names[i] for i in part] for part in (data.classes.seen, data.classes.unseen))
    wrong = DescriptionBank({name: data.bank[name] for name in seen}).shuffled(seed)
    return wrong.joined(DescriptionBank({name: data.bank[name] for name in unseen}))


def prompt_tuning(data: bags.Classes, seed: int) -> dict[str, float]:
    """The accuracy of a tuned prompt, and the rate and steps that seen classes in the place of unseen ones chose."""
    source, y = shared(data.source), data.source.labels
    held = pretend_unseen(y, 2, seed)[0]
    out = np.isin(y, held)
    learnt = np.setdiff1d(data.classes.seen, held)
    order = np.concatenate([learnt, held])
    space = ClassSpace(names=tuple(data.classes.names[i] for i in order), seen=np.arange(len(learnt)))
    place = np.argsort(order)  # seen classes stand first, so these are all of them

    def tuned(domain: Any, classes: ClassSpace, rate: float, steps: int) -> Any:
        method = make("coop", seed=seed, **PROMPT, learning_rate=rate, epochs=steps)
        return method.fit(source=domain, classes=classes, encoder=promptable())

    tried: dict[tuple[float, int], float] = {}
    part, exam = (source.take(keep).replace(y=place[y[keep]], classes=space) for keep in (~out, out))
    for rate in PROMPT_RATES:
        for steps in PROMPT_STEPS:
            tried[rate, steps] = mean_class_top1(exam.labels, tuned(part, space, rate, steps).predict(exam))
    rate, steps = max(tried, key=tried.__getitem__)
    predicted = tuned(source, data.classes, rate, steps).predict(shared(data.exam))
    return {"accuracy": mean_class_top1(data.exam.labels, predicted), "rate": rate, "steps": steps}


def in_one_sentence(bank: DescriptionBank, names: tuple[str, ...]) -> DescriptionBank:
    """All that is said of a class as one sentence: its name plus keywords."""
    joined = {name: ", ".join(s.text.strip(" ,") for s in bank[name]) for name in names}
    return DescriptionBank({name: [Sentence(f", {text}", "visual", True)] for name, text in joined.items() if text})


def ridge(data: bags.Classes, texts: list[str], seed: int) -> NDArray[np.int64]:
    """Unseen classes by a ridge map from pictures to vectors of texts.

    It goes from features to MiniLM's vectors, or between the vectors of both towers, or adds to the towers' picture
    vectors (so that a large penalty leaves the towers as they are). Which one, and the penalty, is chosen on seen
    classes that play unseen ones.
    """
    y, among = data.source.labels, data.classes.unseen
    text_vectors = worlds.minilm(texts)
    with torch.no_grad():
        both = bags.towers().encode_text(torch.from_numpy(text_vectors)).numpy()
    z, asked = shared(data.source).x, shared(data.exam).x
    nothing = np.zeros((len(y) + len(asked), 1), dtype=np.float32)
    kinds = (
        (unit_rows(data.source.x), unit_rows(data.exam.x), text_vectors, nothing[: len(y)], nothing[len(y) :]),
        (z, asked, both, nothing[: len(y)], nothing[len(y) :]),
        (z, asked, both, z, asked),
    )

    def predicted(x: NDArray[Any], exam: NDArray[Any], labels: NDArray[Any], vectors: NDArray[Any], among: NDArray[Any],
                  start: NDArray[Any], exam_start: NDArray[Any], penalty: float) -> NDArray[np.int64]:  # fmt: skip
        target = vectors[labels] - start
        centre, level = x.mean(axis=0), target.mean(axis=0)
        kernel = (x - centre) @ (x - centre).T
        weights = np.linalg.solve(kernel + penalty * np.eye(len(x)), target - level)
        mapped = (exam - centre) @ (x - centre).T @ weights + level + exam_start
        return among[(mapped @ unit_rows(vectors[among]).T).argmax(axis=1)]

    best, chosen = -1.0, np.zeros(0, dtype=np.int64)
    for x, exam, vectors, start, exam_start in kinds:
        for penalty in PENALTIES:
            scores = []
            for held in pretend_unseen(y, 3, seed):
                out = np.isin(y, held)
                guess = predicted(x[~out], x[out], y[~out], vectors, held, start[~out], start[out], penalty)
                scores.append(mean_class_top1(y[out], guess))
            if np.mean(scores) > best:
                best = float(np.mean(scores))
                chosen = predicted(x, exam, y, vectors, among, start, exam_start, penalty)
    return chosen


def elsewhere(method: AdaptCLIPZS, split: str) -> float:
    """The accuracy among emoji of other groups, by name."""
    x, names = others(split)
    return float((method.predict(x, ClassSpace(names=names), {}) == np.arange(len(x))).mean())


@functools.cache
def others(split: str) -> tuple[Tensor, tuple[str, ...]]:
    """Some emoji of the groups that the towers have learnt, by a vendor whom they have not; and their names."""
    drawn = by(bags.VENDORS[split][0])
    free = ~np.isin(drawn.columns["group"], bags.ASKED) & of_half(drawn, split)
    chosen = drawn.take(first_by_hash(drawn, free, OTHERS))
    return torch.as_tensor(worlds.lite0(chosen).x), tuple(chosen.columns["name"].tolist())


@torch.no_grad()
def shared(domain: Any) -> Any:
    """Pictures as vectors of the towers' space."""
    return domain.replace(x=bags.towers().encode_image(torch.as_tensor(domain.x)).numpy())


@functools.cache
def promptable() -> PromptableTowers:
    """The same towers for prompts of vectors: MiniLM, and what stands beside it."""
    encoder, towers = worlds.encoder("minilm"), bags.towers()
    text = Beside(pooled_text_of(encoder.module.transformer), towers.text)
    scale = float(towers.logit_scale.detach().exp())
    return PromptableTowers(row_reader((), bags.WIDTHS[-1]), text, scale, tokenizer_of(encoder))


class Beside(PromptableText):
    """A text tower with a layer after it."""

    def __init__(self, text: PromptableText, head: torch.nn.Module) -> None:
        super().__init__()
        self.inner, self.head, self.context = text, head, text.context

    @property
    def table(self) -> Tensor:
        """The vectors of all tokens."""
        return self.inner.table

    def forward(self, vectors: Float[Tensor, "n t w"], lengths: Int[Tensor, " n"]) -> Float[Tensor, "n d"]:
        """Unit vectors of texts."""
        return F.normalize(self.head(self.inner(vectors, lengths)), dim=1)


# fmt: off
# Each case asks about another fifth of the classes, so that no two share an unseen class; all but `prompted` share most
# of the seen ones, and all share the towers.
LEDGER = (
    effect("unseen", not_worse("zero-shot", "zero-shot, sentences", "accuracy", within=0.02),
        "Using the sentences at test time alone does not improve: at most two points over names."),
    promised("unseen", better("bag", "zero-shot", "accuracy", by=0.03),
        "Training on seen classes with bags of sentences improves zero-shot accuracy on unseen ones, by more than "
        "three points."),
    effect("drawn_elsewhere", better("bag", "zero-shot", "accuracy", by=0.03),
        "So it does where seen classes are of another domain than the unseen ones: drawn by other vendors."),
    mechanism("unseen", better("bag", "learnt from dealt sentences", "accuracy", by=0.02),
        "What the sentences say carries it: with the bags of seen classes dealt to other seen classes in training, and "
        "the right sentences at test for both, accuracy on unseen classes is more than two points lower."),
    effect("unseen", better("bag", "dealt at test, too", "accuracy", by=0.03),
        "With the bags of all classes dealt to others at test, too, it falls by more than three points."),
    effect("unseen", not_worse("learnt from dealt sentences, names at test", "zero-shot", "accuracy", within=0.02),
        "Names outlast the dealing: each dealt sentence has the right name before it, and told by names alone these "
        "towers are at most two points below those that learnt nothing."),
    effect("unseen", better("bag", "pair", "accuracy"),
        "Where several pictures of a class are in a batch, the loss over bags is better than CLIP's, which takes all "
        "but one sentence of a class for wrong."),
    effect("unseen", better("bag", "pair, shuffled order", "accuracy"),
        "It is better than CLIP's loss also where that has samples in random order, half of the epochs and half of the "
        "rate, as suits arms with one sentence best."),
    effect("unseen", better("bag", "bag, names at test", "accuracy"),
        "After training, sentences at test are better than names alone."),
    effect("unseen", better("bag", "names", "accuracy"),
        "It is better than the same training with names alone."),
    effect("unseen", better("bag", "names and keywords", "accuracy"),
        "Bags are better than the same training with name and keywords in one sentence."),
    effect("drawn_elsewhere", better("bag", "names and keywords", "accuracy"),
        "Bags are better than one sentence with name and keywords also across vendors."),
    effect("unseen", better("bag", "mean logit", "accuracy"),
        "The mean of probabilities is a better rule than the mean of logits."),
    effect("unseen", better("bag", "mean embedding", "accuracy"),
        "The mean of probabilities is a better rule than the mean of vectors."),
    effect("unseen", not_worse("taxonomy", "visual", "accuracy", within=0.01),
        "Another source is as good as visual words: here the kind of thing, in the place of geography."),
    effect("unseen", better("bag", "visual", "accuracy"),
        "Sources complement each other: all are better than visual words alone."),
    effect("prompted", better("bag", "prompt tuning", "accuracy"),
        "It outperforms prompt tuning, with pictures of a fifth of the classes for both; the prompt's rate and steps "
        "are the best of twelve pairs on seen classes that play unseen ones, in each run."),
    effect("unseen", better("bag", "ridge", "accuracy"),
        "It is better than a ridge map to vectors of name and keywords: from features, or from the towers' vectors of "
        "pictures, alone or added to these; which, and the penalty, is chosen on seen classes that play unseen ones."),
    effect("unseen", not_worse("bag", "zero-shot", "other", within=0.05),
        "What it costs elsewhere: at most five points of accuracy among things of other groups."),
    not_testable("Geographic priors are as effective as visual appearance, and complementary.",
        "Nothing here says where things are found; `DescriptionBank` takes such sentences (source `location`), and the "
        "row on the kind of thing stands in its place."),
    paper_scale("4 to 5 points on average on novel birds and flowers, from iNaturalist; a benchmark of 14 data sets.",
        "Neither the data nor CLIP's weights are at hand. With both: `AdaptCLIPZS(**card.presets['natural'])`, "
        "fitted with `encoder=whole_towers(get('open_clip:ViT-B-16/FILE'))`, `prompts=DescriptionBank.read(FILE)`; not "
        "run."),
)
FIFTHS: dict[str, Any] = {"unit": "fifth of the classes, unseen", "data": bags.read, **seeds(1)}

claim = Claim(
    slug="adaptclipzs",
    ledger=LEDGER,
    experiments={
        "unseen": Experiment(
            run=unseen, **of_both({"development": range(1, 4), "confirmation": range(1, 6)}), **FIFTHS,
            drawn=drawn_fifth, nothing="zero-shot"),
        "prompted": Experiment(
            run=prompted, **of_both({"development": range(1, 3), "confirmation": range(1, 4)}), **FIFTHS,
            drawn=functools.partial(drawn_fifth, few=True), nothing="zero-shot"),
        "drawn_elsewhere": Experiment(
            run=drawn_elsewhere, **of_both({"development": range(1, 4), "confirmation": range(1, 6)}), **FIFTHS,
            drawn=functools.partial(drawn_fifth, elsewhere=True), nothing="zero-shot"),
    },
    licences=(worlds.EMOJI, worlds.LITE0, worlds.MINILM, "WordNet 3.0: WordNet licence"),
)
# fmt: on
