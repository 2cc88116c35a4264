"""AD-CLIP's claim: a small two-tower model adapts from the emoji of one vendor to those of another, unlabelled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from unseen.claims import worlds
from unseen.claims.arms import of_classes, parted
from unseen.claims.base import Claim, Experiment, Result
from unseen.claims.conditions import better, equals, not_worse
from unseen.claims.drawings import VENDORS, of_vendors
from unseen.claims.ledger import effect, mechanism, not_testable, paper_scale
from unseen.claims.small_clip import DIM, VENDOR, Joined, numbered_style, seen_by, towers
from unseen.data.domain import Domain
from unseen.methods.adaptation.ad_clip import ADCLIP
from unseen.methods.adaptation.ad_clip.losses import alignment, uncertainty
from unseen.methods.baselines.linear_probe import LinearProbe
from unseen.nn.dual_encoder import in_parts
from unseen.nn.state import digest

CLASSES, HELD_OUT = 8, 1 / 3
"""Classes of a case, and the share of each domain's images that nothing is learnt from."""
BUDGET: Mapping[str, Any] = {
    "epochs": 4, "hidden": 64, "mapper_hidden": 96, "learning_rate": 1e-2, "words": "a drawing of a",
}  # fmt: skip
"""Chosen on development cases by the cross entropy of source images held out; `words` are of the towers' captions."""
WORDING = {
    "noto": "a shaded emoji of a",
    "openmoji": "an outlined drawing of a",
    "fluent-emoji-flat": "a flat icon of a",
    "emojione": "a cartoon emoji of a",
    "noto-v1": "a cartoon emoji of a",
    "fluent-emoji": "a glossy icon of a",
    "fluent-emoji-high-contrast": "a black silhouette of a",
    "emojione-v1": "a cartoon emoji of a",
    "emojione-monotone": "a black icon of a",
}
"""How each style would be called in a prompt."""

STATIC = {"context": "static", "static_tokens": 14, "learning_rate": 1e-3}
"""As long as an image's context: five layers of two styles, four of content. Its rate is chosen by the same rule."""
ARMS: Mapping[str, Mapping[str, Any]] = {
    "ad-clip": {},
    "before training": {"epochs": 1, "warm_epochs": 0, "learning_rate": 1e-12},
    "without alignment": {"kl_weight": 0.0},
    "without entropy": {"entropy_weight": 0.0},
    "content alone": {"source_style": False, "target_style": False},
    "style alone": {"content": False},
    "static prompt": STATIC,
    "static prompt, source alone": {**STATIC, "entropy_weight": 0.0},
    "zero-shot": {"context": "words"},
    "zero-shot, name alone": {"context": "words", "words": ""},
    "zero-shot, photo": {"context": "words", "words": "a photo of a"},
}


class Parts(NamedTuple):
    """Images of both domains that are learnt from, and images that are not."""

    source: Domain
    target: Domain
    other_source: Domain
    other_target: Domain


def adapted(case: str, seed: int) -> Result:
    """All arms on some classes of two styles. The case is `SOURCE TARGET`.

    `target` is the accuracy on the target's images that training saw without labels and those it did not see;
    everything else is measured on images that training did not see: `unseen` on the target, `source` on the source.
    """
    joined = towers()
    parts = drawn(joined, case, seed)
    before = digest(dict(joined.towers.state_dict()))
    table: Result = {}
    arms = {**ARMS, "target's style in words": {"context": "words", "words": WORDING[parts.target.name]}}
    for arm, settings in arms.items():
        method = fitted(joined, parts.source, parts.target, seed, settings)
        table[arm] = graded(method, parts)
        table[arm]["entropy"] = float(uncertainty(method.predict_proba(parts.other_target)))
        if arm in ("ad-clip", "before training", "without alignment"):
            table[arm] |= aligned(method, parts)
        if arm == "ad-clip":
            table |= inferred(method, parts)
    probe = LinearProbe().fit(support=embedded(parts.source))
    table["linear probe"] = graded(probe, Parts(*(embedded(part) for part in parts)))
    table["towers"] = {"changed": float(digest(dict(joined.towers.state_dict())) != before)}
    return table


def generalized(case: str, seed: int) -> Result:
    """Both domains have five of eight classes; all images of the target are told apart among all eight."""
    joined = towers()
    parts = drawn(joined, case, seed)
    classes = worlds.space_of(parts.source).replace(seen=np.arange(5))
    known, learnt = (
        domain.take(np.flatnonzero(domain.labels < 5)).replace(classes=classes.take(np.arange(5)))
        for domain in (parts.source, parts.target)
    )
    table: Result = {}
    for arm in ("ad-clip", "static prompt", "zero-shot", "zero-shot, name alone"):
        method = fitted(joined, known, learnt, seed, ARMS[arm], classes=classes)
        right = [method.predict(domain) == domain.labels for domain in (parts.target, parts.other_target)]
        unlabelled = [domain.labels >= 5 for domain in (parts.target, parts.other_target)]
        table[arm] = {
            "unlabelled_classes": float(np.concatenate([r[o] for r, o in zip(right, unlabelled)]).mean()),
            "labelled_classes": float(right[1][~unlabelled[1]].mean()),
        }
    return table


def fitted(joined: Joined, source: Domain, target: Domain, seed: int, settings: Any, **words: Any) -> ADCLIP:
    """One arm."""
    method = ADCLIP().set_params(**{**BUDGET, **settings}, random_state=seed)
    return method.fit(source=source, target=target, encoder=joined.towers, **words)


def graded(method: Any, parts: Parts) -> dict[str, float]:
    """Accuracy on all images of the target, on those that training did not see, and on such of the source."""
    seen, unseen, source = (
        method.predict(x) == x.labels for x in (parts.target, parts.other_target, parts.other_source)
    )
    return {
        "target": float(np.concatenate([seen, unseen]).mean()),
        "unseen": float(unseen.mean()),
        "source": float(source.mean()),
    }


@torch.no_grad()
def aligned(method: ADCLIP, parts: Parts) -> dict[str, float]:
    """How far text features of both domains are apart on pairs of images that training did not see.

    `misalignment` is L_kl; `cosine` that of a class's mean text feature over the images of either domain, over classes.
    """
    network: Any = method.network_
    x_s, x_t = paired(network, parts)
    s, t = network.tokens(x_s), network.tokens(x_t)
    contexts = (network.joined(s.style, t.style, content) for content in (s.content, t.content))
    text = [in_parts(network.features, context) for context in contexts]
    cosine = F.cosine_similarity(text[0].mean(dim=0), text[1].mean(dim=0), dim=1)
    return {"misalignment": float(alignment(*text)), "cosine": float(cosine.mean())}


@torch.no_grad()
def inferred(method: ADCLIP, parts: Parts) -> Result:
    """What stands for the source's style when the target comes alone, and how near to it that is."""
    network: Any = method.network_
    x_s, x_t = paired(network, parts)
    style, tokens = network.tokens(x_s).style, network.tokens(x_t)
    context = network.joined(style, tokens.style, tokens.content)
    predicted = network.scores(x_t.embedding, in_parts(network.features, context)).argmax(dim=1).numpy()
    guesses = {"mapped style": network.mapped(x_t), "own style": tokens.style, "mean source style": network.stored}
    table = {arm: {"style_error": float((guess - style).square().mean())} for arm, guess in guesses.items()}
    table["source at hand"] = {"unseen": float((predicted == parts.other_target.labels).mean())}
    table["mean source style"] |= graded(method.set_params(inference="stored"), parts)
    method.set_params(inference="mapped")
    return table


def paired(network: Any, parts: Parts) -> tuple[Any, Any]:
    """Every image of the target that training did not see, and one such image of the source beside it."""
    x_s, x_t = (torch.as_tensor(domain.x) for domain in (parts.other_source, parts.other_target))
    return network.read(x_s[torch.arange(len(x_t)) * 7919 % len(x_s)]), network.read(x_t)


def embedded(domain: Domain) -> Domain:
    """The embeddings alone."""
    return domain.replace(x=np.ascontiguousarray(domain.x[:, -DIM:]))


# -- the data ------------------------------------------------------------------------------------------------


def drawn(joined: Joined, case: str, seed: int) -> Parts:
    """Source and target of a case, and what is held out of either."""
    return parts_of(case, seed, [seen_by(joined, vendor) for vendor in case.split()])


def numbered_parts(case: str, seed: int) -> Parts:
    """The same of emoji by their numbers: what a cell draws."""
    return parts_of(case, seed, [numbered_style(vendor) for vendor in case.split()])


def parts_of(case: str, seed: int, styles: list[Domain]) -> Parts:
    """Source and target of a case of some `styles`, and what is held out of either."""
    chosen = np.array(classes_of(case, styles))
    halves = [parted(of_classes(style, chosen), HELD_OUT, 2 * seed + i) for i, style in enumerate(styles)]
    return Parts(*(learnt for learnt, _ in halves), *(out for _, out in halves))


def classes_of(case: str, styles: list[Domain]) -> list[int]:
    """Eight subgroups of the split's half of them, of those with ten images in either style; by a hash of the case."""
    split = "development" if case.split()[0] in VENDORS["development"] else "confirmation"
    classes = worlds.space_of(styles[0])
    by_name = sorted(range(len(classes)), key=lambda i: worlds.hashed(classes.names[i]))
    half = by_name[:15] if split == "development" else by_name[15:]
    large = [i for i in half if all((style.labels == i).sum() >= 10 for style in styles)]
    return sorted(sorted(large, key=lambda i: worlds.hashed(f"{case} {classes.names[i]}"))[:CLASSES])


# fmt: off
LEDGER = (
    mechanism("adapted", equals("towers", "changed", 0.0),
        "The problem is solved in the space of prompts: not a weight of the two towers changes."),
    mechanism("adapted", better("ad-clip", "zero-shot", "source"),
        "Contrastive learning teaches the prompts the source's classes: better on source images held out."),
    mechanism("adapted", better("ad-clip", "without entropy", "entropy", lower=True),
        "Minimizing entropy makes predictions surer, on target images that training did not see."),
    mechanism("adapted", better("ad-clip", "without alignment", "misalignment", lower=True),
        "The alignment makes prompts domain-agnostic: on images held out, the divergence of the domains' text "
        "features is smaller than without it."),
    effect("adapted", better("ad-clip", "without alignment", "cosine"),
        "The alignment brings both domains' mean text features of each class nearer, by their cosine."),
    effect("adapted", better("ad-clip", "before training", "cosine"),
        "Prompts become domain-invariant: text features of both domains are nearer than before training."),
    mechanism("adapted", better("mapped style", "own style", "style_error", lower=True),
        "The mapper's style tokens are nearer to those of source images than the target image's own."),
    effect("adapted", better("mapped style", "mean source style", "style_error", lower=True),
        "The mapper hallucinates the style of source images: nearer to it than a constant, its mean."),
    effect("adapted", better("ad-clip", "mean source style", "target"),
        "The mapper is better on the target than the mean source style in its place."),
    mechanism("adapted", not_worse("ad-clip", "source at hand", "unseen", within=0.02),
        "Images of the target are enough for predicting: at most two points are lost to having source images."),
    effect("adapted", better("ad-clip", "zero-shot", "target"),
        "AD-CLIP adapts: better on the target than the zero-shot prompt that it starts from."),
    effect("adapted", better("ad-clip", "zero-shot, name alone", "target"),
        "AD-CLIP is better than the zero-shot prompt of the name alone, which the towers have read most."),
    effect("adapted", better("ad-clip", "zero-shot", "unseen"),
        "AD-CLIP adapts to the domain: also better than zero-shot on images that training did not see."),
    effect("adapted", better("ad-clip", "target's style in words", "target"),
        "AD-CLIP is better than a prompt that names the style of the target."),
    effect("adapted", better("ad-clip", "static prompt", "target"),
        "Conditioning on images helps: better than one learned prompt for all, of equal length and losses."),
    effect("adapted", better("ad-clip", "static prompt, source alone", "target"),
        "AD-CLIP is better than one learned prompt for all images, learned from the source alone (CoOp)."),
    effect("adapted", better("ad-clip", "linear probe", "target"),
        "Language helps: better than a classifier of image features without it."),
    effect("adapted", better("ad-clip", "without alignment", "target"),
        "The alignment of text features helps on the target."),
    effect("adapted", better("ad-clip", "without entropy", "target"),
        "The entropy of predictions, made small, helps on the target."),
    effect("adapted", better("ad-clip", "content alone", "target"),
        "Style and content together are better than content alone."),
    effect("adapted", better("ad-clip", "style alone", "target"),
        "Style and content together are better than style alone."),
    effect("generalized", not_worse("ad-clip", "zero-shot", "unlabelled_classes", within=0.02),
        "The prompts are class-generalizable: classes without labels lose at most two points to zero-shot."),
    effect("generalized", better("ad-clip", "static prompt", "unlabelled_classes"),
        "AD-CLIP's prompts generalize to classes without labels better than a static prompt."),
    not_testable("Visual backbones lack semantic richness, and CLIP is unexplored for domain adaptation.",
        "It says why the paper was written; what language adds here is a condition of its own."),
    paper_scale("Better than the literature on Office-Home, VisDA-2017 and Mini-DomainNet.",
        "Neither these sets nor CLIP's weights are at hand. With both: `ADCLIP(preset paper).fit(source=..., "
        "target=..., encoder=promptable(get('open_clip:ViT-B-16/F')))` with pictures as tensors; not run."),
)
CASES: Mapping[str, Any] = {
    "development": (
        "noto openmoji", "openmoji noto", "fluent-emoji-flat openmoji", "noto fluent-emoji-flat", "emojione noto",
        "openmoji emojione"),
    "confirmation": (
        "noto-v1 fluent-emoji", "fluent-emoji fluent-emoji-high-contrast", "fluent-emoji-high-contrast noto-v1",
        "noto-v1 emojione-monotone", "emojione-monotone emojione-v1", "emojione-v1 fluent-emoji"),
    "drawn": numbered_parts, "unit": "pair of styles, with eight classes of its own", "nothing": "zero-shot",
    "data": lambda case: [
        *of_vendors(case.split(), level="subgroup"), *of_vendors([VENDOR], "name", "keywords", "subgroup")],
}

claim = Claim(
    slug="ad-clip",
    ledger=LEDGER,
    experiments={"adapted": Experiment(run=adapted, **CASES), "generalized": Experiment(run=generalized, **CASES)},
    licences=(worlds.EMOJI, worlds.LITE0, worlds.MINILM),
)
# fmt: on
