"""UGT's claims: digits in fog and behind occluders, from fonts to handwriting, and drawings by other hands.

All shifts are declared simulations or stand-ins: corruptions and occluders are those of `unseen.data.simulate`; printed
digits stand for synthetic pictures, handwritten ones for real ones.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from unseen.claims import worlds
from unseen.claims.base import Claim, Experiment, Result, of_both, seeds
from unseen.claims.conditions import Condition, Verdict, at_least, beats_all, better, equals, not_worse
from unseen.claims.drawings import drawn, of_split
from unseen.claims.ledger import effect, mechanism, not_testable, paper_scale, promised
from unseen.data.domain import Domain, concatenate
from unseen.data.simulate import corrupted, covered_cells, occluded
from unseen.data.sources import digits
from unseen.data.sources.digits import FONTS
from unseen.evaluation.metrics.classification import accuracy
from unseen.methods.adaptation.ugt import UGT
from unseen.methods.adaptation.ugt.compnet import CompNet
from unseen.methods.base import Method, signatures
from unseen.methods.baselines.coral import CORAL
from unseen.methods.baselines.source_only import SourceOnly
from unseen.methods.checks import as_regions
from unseen.nn.von_mises_fisher import kernel_similarity

Tests = dict[str, Domain]

FINE = "efficientnet-lite0?crop=1&layer=4&regions=14"
"""Parts of strokes: the fourth map, 14 x 14 cells of 112 values."""
LAST = "efficientnet-lite0?crop=1&regions=7"
"""Parts of things: the last map, 7 x 7 cells of 1,280 values."""
OUTPUT = "efficientnet-lite0?crop=1"
"""What the whole encoder says of a picture."""
SHARES = (0.2, 0.4, 0.6, 0.8)
"""Of a picture that an occluder covers."""
SEVERITY, SHIFTED_SHARE = 4, 0.3
KERNELS, KERNELS_LAST, EM = 64, 128, 30
"""Size of the dictionaries, and iterations of EM."""
COMPONENTS = 128
"""Principal components of all regions together that CORAL aligns: it needs a covariance."""


class Longer(UGT):
    """Refinement in as many steps without the target: labelled pictures of the source, drawn again, in its place."""

    def _believed(
        self, network: CompNet, cells: dict[str, NDArray[Any]], y: Int[Tensor, " n"]
    ) -> tuple[NDArray[Any], Int[Tensor, " m"], Float[Tensor, " m"]]:
        labels, weight = super()._believed(network, cells, y)[1:]
        again = np.random.default_rng(self.random_state).integers(len(y), size=len(labels))
        return cells["source"][again], y[again], weight


ARMS: dict[str, tuple[type[UGT], dict[str, Any]]] = {
    "compnet": (UGT, {"dictionary": "source", "refine_rounds": 0}),
    "compnet, no clutter": (UGT, {"dictionary": "source", "refine_rounds": 0, "clutter": "none"}),
    "compnet, refined": (UGT, {"dictionary": "source"}),
    "compnet, longer": (Longer, {"dictionary": "source"}),
    "dictionary": (UGT, {"refine_rounds": 0}),
    "dictionary, halfway": (UGT, {"refine_rounds": 0}),
    "target's dictionary": (UGT, {"dictionary": "target", "refine_rounds": 0}),
    "ugt": (UGT, {}),
}
LOOKS = ("pooled", "regions", "output")
PROBES, CORALS = (tuple(f"{name}, {look}" for look in LOOKS) for name in ("linear probe", "coral"))
BLIND = ("everywhere", "central", "best constant", "another picture")
"""Maps of occluders that do not look at the picture."""


# -- data --------------------------------------------------------------------------------------------------


def seen(domain: Domain, encoder: str) -> Domain:
    """Features and regions; the column `output` holds what the whole encoder says."""
    features = worlds.encoder(encoder).encode(domain)
    output = features.x if encoder == LAST else worlds.encoder(OUTPUT).encode(domain).x
    return features.replace(columns={**features.columns, "output": output})


@functools.cache
def pictures(style: str, side: int = 224) -> Domain:
    """Digits as large as the encoder reads them, or smaller ones."""
    return digits(style, size=side, copies=4)


def of_each(domain: Domain, first: int, last: int) -> Domain:
    """The samples of each class from the first to the last, in an order of their own."""
    rng = np.random.default_rng(0)
    orders = [rng.permutation(np.flatnonzero(domain.labels == c)) for c in np.unique(domain.labels)]
    return domain.take(np.concatenate([order[first:last] for order in orders]))


def halves(fold: int, side: int = 224) -> tuple[Domain, Domain]:
    """Handwritten digits to learn from and others to be corrupted: fold by fold, 16 and 16 of each digit."""
    start = 32 * fold
    whole = pictures("handwritten", side)
    first, other = (of_each(whole, start + 16 * half, start + 16 * (half + 1)) for half in (0, 1))
    return first, other


See = Callable[[Domain, str], Domain]


def as_it_is(domain: Domain, encoder: str) -> Domain:
    """A domain that nothing encodes, in the place of `seen`: for what is drawn."""
    return domain


def nuisance(case: str, seed: int, see: See = seen, side: int = 224) -> tuple[Domain, Domain, Tests]:
    """Handwritten digits, and others under a corruption; a case is `CORRUPTION FOLD`."""
    name, fold = case.split()
    source, other = halves(int(fold), side)
    return see(source, FINE), *under(other, corrupted(other, name, SEVERITY), FINE, seed, see=see)


FACES = {"dejavu": ("DejaVuSans", "DejaVuSerif"), "other": ("cm", "STIX")}
"""Typefaces to learn from and typefaces to be tested on; all cuts of one are on one side."""


def fonts(family: str) -> tuple[list[str], list[str]]:
    """Fonts of the source, and fonts of the clean test."""
    learnt, tested = ([font for font in FONTS if font.startswith(face)] for face in FACES[family])
    return learnt, tested


def written(fold: int, side: int = 224) -> Domain:
    """Handwritten digits, fold by fold, 20 of each digit."""
    return of_each(pictures("handwritten", side), 20 * fold, 20 * (fold + 1))


def synthetic(case: str, seed: int, see: See = seen, side: int = 224) -> tuple[Domain, Domain, Tests]:
    """Printed digits, and handwritten ones; a case is `FACES FOLD`."""
    family, fold = case.split()
    printed = pictures("printed", side)
    learnt, tested = (printed.take(np.isin(printed.columns["font"], some)) for some in fonts(family))
    target, tests = under(of_each(tested, 0, 10), written(int(fold), side), FINE, seed, see=see)
    return see(of_each(learnt, 0, 20), FINE), target, tests


GROUPS = (
    "animal-mammal", "transport-ground", "sky-weather", "clothing", "time", "food-prepared", "place-building", "office",
    "face-concerned", "person-sport", "tool",
)  # fmt: skip


def drawings(case: str, seed: int, see: See = seen) -> tuple[Domain, Domain, Tests]:
    """Emoji of two vendors, a fifth of them held out, and all of a third; a case is `SPLIT SOURCE SOURCE TARGET`."""
    *styles, other = grouped(case)
    apart = np.random.default_rng(seed).permutation(len(other)) < len(other) // 5
    source = concatenate([style.take(~apart) for style in styles], name="source")
    clean = concatenate([style.take(apart) for style in styles], name="clean")
    target, tests = under(clean, other, LAST, seed, (0.4,), see)
    return see(source, LAST), target, tests


def grouped(case: str) -> list[Domain]:
    """The emoji of `GROUPS`, which are the classes, as each of the vendors of `SPLIT VENDOR ...` draws them."""
    split, *vendors = case.split()
    styles = {style.name: style for style in drawn(split)}
    groups = styles[vendors[0]].columns["subgroup"]
    kept = np.isin(groups, GROUPS)
    y = np.array([GROUPS.index(group) for group in groups[kept]])
    return [styles[vendor].take(kept).replace(y=y, classes=None) for vendor in vendors]


def under(
    clean: Domain, shifted: Domain, encoder: str, seed: int, shares: tuple[float, ...] = SHARES, see: See = seen
) -> tuple[Domain, Tests]:
    """The unlabeled target, and tests: clean or shifted, alone or behind occluders of texture."""
    pictures = {f"occluded {share:.0%}": occluded(clean, share, random_state=seed) for share in shares}
    pictures["shifted, occluded"] = occluded(shifted, SHIFTED_SHARE, random_state=seed + 1)
    target = see(shifted, encoder)
    tests = {"clean": see(clean, encoder), "shifted": target}
    return target, tests | {name: see(domain, encoder) for name, domain in pictures.items()}


# -- arms --------------------------------------------------------------------------------------------------


def run(data: Any, case: str, seed: int) -> Result:
    """Every arm on one pair of domains: accuracy on all tests, where occluders were found, and what the kernels did."""
    source, target, tests = data(case, seed)
    table = {}
    for look in LOOKS:
        for name, (method, sight) in baselines(source, target, look).items():
            table[f"{name}, {look}"] = scored(method, {key: sight(domain) for key, domain in tests.items()})
    fitted = {arm: arm_of(arm, source, target, seed) for arm in ARMS}
    table |= {arm: scored(method, tests) for arm, method in fitted.items()}
    for name in (name for name in tests if name.startswith("occluded ") and name != "occluded 80%"):
        metric, true = f"iou, {name.split()[1]}", covered(tests[name])
        maps = fitted["ugt"].occlusion_maps(as_regions(tests[name]))
        table["ugt"][metric] = overlap(maps > 0, true)
        for arm, map_ in blind(true, seed).items():
            table.setdefault(arm, {})[metric] = overlap(map_, true)
    words = {word for signature in signatures(UGT) for word in signature.required}
    table["ugt"]["other_inputs"] = float(len(words - {"source", "target"}))
    means = {arm: method.network_.means.detach() for arm, method in fitted.items()}
    means["clean's dictionary"] = arm_of("target's dictionary", source, tests["clean"], seed, epochs=0).network_.means
    for arm, row in transition(means).items():
        table.setdefault(arm, {}).update(row)
    return table


def baselines(source: Domain, target: Domain, look: str) -> dict[str, tuple[Method, Any]]:
    """A linear probe and CORAL on one look at the pictures, each with how it sees a domain."""

    def plain(domain: Domain) -> Domain:
        regions = domain.columns["regions"]
        x = {"pooled": regions.mean(axis=1), "regions": regions.reshape(len(regions), -1)}.get(look)
        return domain.replace(x=domain.columns["output"] if x is None else x, columns={})

    sight = plain
    if look == "regions":
        from sklearn.decomposition import PCA

        both = np.concatenate([plain(source).x, plain(target).x])
        axes = PCA(min(COMPONENTS, *both.shape), random_state=0).fit(both)

        def sight(domain: Domain) -> Domain:
            return domain.replace(x=axes.transform(plain(domain).x).astype(np.float32), columns={})

    return {
        "linear probe": (SourceOnly().fit(source=plain(source)), plain),
        "coral": (CORAL().fit(source=sight(source), target=sight(target)), sight),
    }


def arm_of(arm: str, source: Domain, target: Domain, seed: int, **changes: Any) -> UGT:
    """An arm of UGT; halfway, a kernel of mean support goes half the way to the target."""
    last = source.n_features > 1000
    kind, settings = ARMS[arm]
    method = kind(kernels=KERNELS_LAST if last else KERNELS, em_iterations=EM)
    if arm == "dictionary, halfway":
        settings = {**settings, "relevance": len(target) / method.kernels}
    return method.set_params(random_state=seed, **settings, **changes).fit(source=source, target=target)


def scored(method: Method, tests: Tests) -> dict[str, float]:
    """Accuracy on every test, and the mean over all clean pictures behind occluders."""
    accuracies = {name: accuracy(domain.labels, method.predict(domain)) for name, domain in tests.items()}
    accuracies["occluded"] = float(
        np.mean([value for name, value in accuracies.items() if name.startswith("occluded ")])
    )
    return accuracies


def covered(domain: Domain) -> NDArray[np.bool_]:
    """Cells of which an occluder covers more than half."""
    side = round(domain.columns["regions"].shape[1] ** 0.5)
    return covered_cells(domain.columns["occluder"], side) > 0.5


def overlap(predicted: NDArray[np.bool_], true: NDArray[np.bool_]) -> float:
    """Intersection over union, the mean over pictures."""
    union = (predicted | true).sum(axis=(1, 2))
    return float(((predicted & true).sum(axis=(1, 2)) / np.maximum(union, 1)).mean())


def blind(true: NDArray[np.bool_], seed: int) -> dict[str, NDArray[np.bool_]]:
    """Maps that do not look at the picture, but know the occluders of all others.

    Everywhere; the square in the middle that is as large as an occluder; of all maps of the cells that are covered most
    often the one that overlaps best; the occluder of another picture.
    """
    side, often = true.shape[1], true.mean(axis=0)
    near = np.abs(np.arange(side) - (side - 1) / 2) <= side * np.sqrt(true.mean()) / 2
    constants = [np.broadcast_to(often >= level, true.shape) for level in np.unique(often)]
    other = np.random.default_rng(seed).permutation(len(true))
    return {
        "everywhere": np.ones_like(true),
        "central": np.broadcast_to(near[:, None] & near, true.shape),
        "best constant": max(constants, key=lambda map_: overlap(map_, true)),
        "another picture": true[np.roll(other, 1)[np.argsort(other)]],
    }


def transition(means: dict[str, Tensor]) -> Result:
    """Where the dictionaries lie: cosines of kernels with the nearest of another, means over kernels."""
    source, target = means["compnet"], means["target's dictionary"]
    near = {"compnet": kernel_similarity(source, target)}
    near["clean's dictionary"] = kernel_similarity(source, means["clean's dictionary"])
    table = {
        arm: {"alike": float((cosine > 0.9).double().mean()), "unlike": float((cosine < 0.8).double().mean())}
        for arm, cosine in near.items()
    }
    for arm in ("compnet", "dictionary", "dictionary, halfway", "target's dictionary"):
        table.setdefault(arm, {})["to target"] = float(kernel_similarity(means[arm], target).mean())
        table[arm]["to source"] = float(kernel_similarity(means[arm], source).mean())
    return table


def mates_of(y: NDArray[Any], seed: int) -> NDArray[np.intp]:
    """Of each drawing another one of its class."""
    rng = np.random.default_rng(seed)
    mates = np.arange(len(y))
    for label in np.unique(y):
        members = rng.permutation(np.flatnonzero(y == label))
        mates[members] = np.roll(members, 1)
    return mates


def drawn_parts(case: str, seed: int) -> list[Any]:
    """What a cell draws, of drawings by their numbers."""
    styles = [worlds.numbered(style) for style in grouped(case)]
    return [styles, mates_of(styles[0].labels, seed)]


def run_parts(case: str, seed: int) -> Result:
    """How often two vendors' drawings of one emoji show one kernel at one position, and those of two emoji do.

    A case is `SPLIT VENDOR VENDOR`; kernels are learnt from both without labels.
    """
    first, other = (seen(style, LAST) for style in grouped(case))
    y = first.labels
    method = UGT(kernels=KERNELS_LAST, em_iterations=EM, epochs=0, refine_rounds=0).set_params(random_state=seed)
    method.fit(source=first, target=other)
    with torch.no_grad():  # the kernel with the largest cosine at each position, (n, r)
        regions = [torch.as_tensor(domain.columns["regions"]) for domain in (first, other)]
        a, b = (method.network_.cosines(part).argmax(dim=2).numpy() for part in regions)
    other_emoji = float((a == b[mates_of(y, seed)]).mean())
    return {"same emoji": {"agreement": float((a == b).mean())}, "same class": {"agreement": other_emoji}}


def drop(arms: tuple[str, ...], *, by: float) -> Condition:
    """Each of these arms is more than `by` worse on shifted pictures than on clean ones; told of the least."""

    def of(table: pd.DataFrame, arm: str) -> Verdict:
        mine = table[table.arm == arm].copy()
        mine["arm"], mine["metric"] = arm + ", " + mine.metric, "accuracy"
        return better(f"{arm}, clean", f"{arm}, shifted", metric="accuracy", by=by)(mine)

    asked = f"accuracy: clean better than shifted, each of {', '.join(arms)}; needed > {by:g}"
    return Condition("shifted", asked, lambda table: min((of(table, arm) for arm in arms), key=lambda v: v.value))


def at_scale(data: str) -> str:
    """How to run it where the data are."""
    return (
        f"{data} is not at hand. With its folders of classes, objects cropped: unseen compare --source DIR --target "
        "DIR --methods ugt,ugt:source,ugt:dictionary --encoder 'timm:resnet50?regions=7&crop=1'; not run."
    )


DATA = {"nuisances": "corruptions", "synthetic": "handwriting", "drawings": "emoji of another vendor"}
MARGINS = (
    ("nuisances", "shifted", 0.0), ("nuisances", "shifted, occluded", 0.1),
    ("synthetic", "shifted", 0.0), ("synthetic", "shifted, occluded", 0.05),
    ("drawings", "shifted", 0.0), ("drawings", "shifted, occluded", 0.0),
)  # fmt: skip
"""By how much UGT is to beat the best of six; what is above 0 is promised."""


def behaviour() -> dict[str, Any]:
    """Pictures in fog and behind occluders, as they are simulated."""
    some = digits("handwritten", size=32).take(slice(4))
    shifts = {"occluded": occluded(some, 0.4)} | {name: corrupted(some, name, 4) for name in ("fog", "snow", "blur")}
    return {name: np.stack([np.asarray(picture) for picture in shift.x]) for name, shift in shifts.items()}


# fmt: off
STAGES = (
    ("dictionary", "compnet", "shifted",
        "Classes learnt on the transitional dictionary do better on the target"),
    ("dictionary, halfway", "compnet", "shifted",
        "Kernels that go halfway do better than the source's"),
    ("dictionary, halfway", "compnet", "shifted, occluded",
        "Kernels that go halfway do better behind occluders"),
    ("ugt", "compnet, refined", "shifted",
        "Both refined, the transitional dictionary beats the source's"),
    ("compnet, refined", "compnet, longer", "shifted",
        "Refinement adds to as many steps on the source"),
    ("compnet, refined", "compnet, longer", "shifted, occluded",
        "Refinement adds to as many steps behind occluders"),
    ("ugt", "compnet, longer", "shifted, occluded",
        "Dictionary and refinement beat a network trained as long, behind occluders"),
    ("target's dictionary", "compnet", "shifted",
        "The target's dictionary beats the source's"),
    ("target's dictionary", "compnet", "shifted, occluded",
        "The target's dictionary beats the source's behind occluders"),
)
"""What each stage adds, to be asked of all data: arm, control, metric."""

LEDGER = (
    not_testable("Making algorithms robust to changes of the domain is an important unsolved problem.",
        "It is about the state of the field in 2024."),
    promised("nuisances", drop(PROBES, by=0.1),
        "A linear probe loses more than ten points where the domain changes, whichever features it reads."),
    mechanism("nuisances", equals("ugt", "other_inputs", 0),
        "Nothing but labelled pictures of the source and unlabeled ones of the target is needed."),
    effect("nuisances", beats_all("compnet", PROBES, "occluded", by=0.1),
        "Compositional networks are robust to occlusion: far better than linear probes, the best of three."),
    promised("nuisances", beats_all("compnet", PROBES, "occluded"),
        "Compositional networks are better behind occluders than linear probes, the best of three, by any margin."),
    promised("nuisances", beats_all("compnet", PROBES, "shifted, occluded", by=0.1),
        "Compositional networks are far better than linear probes, the best of three, on shifted, occluded pictures."),
    effect("nuisances", better("compnet", "compnet, no clutter", "occluded 60%", by=0.03),
        "Explaining positions as clutter makes compositional networks robust to occlusion: better than without."),
    mechanism("nuisances", beats_all("ugt", BLIND, "iou, 20%", by=0.05),
        "Compositional networks find an occluder of a fifth better than the best of four maps that ignore it."),
    effect("nuisances", beats_all("ugt", BLIND, "iou, 40%", by=0.02),
        "Compositional networks find an occluder of two fifths better than the best of four maps that ignore it."),
    effect("nuisances", beats_all("ugt", BLIND, "iou, 60%"),
        "Compositional networks find an occluder of three fifths better than the best of four maps that ignore it."),
    effect("drawings", beats_all("ugt", BLIND, "iou, 40%"),
        "Occluders of two fifths are found on the coarse last map, better than by the best of four maps that ignore "
        "them."),
    effect("nuisances", drop(("compnet",), by=0.1),
        "Compositional networks degrade badly on other domains: by more than ten points under corruptions of digits."),
    effect("synthetic", drop(("compnet",), by=0.1),
        "Compositional networks degrade badly from printed digits to handwritten ones: by more than ten points."),
    mechanism("parts", better("same emoji", "same class", "agreement", by=0.03),
        "Kernels correspond roughly to parts: two hands draw one emoji with the same kernels at the same place, more "
        "than two emoji of a class."),
    effect("nuisances", at_least("compnet", "alike", 0.05),
        "Some kernels of both domains are alike (a cosine above 0.9): at least a twentieth."),
    effect("nuisances", better("compnet", "clean's dictionary", "unlike", by=0.1),
        "Other kernels of both domains are unlike (a cosine below 0.8): a tenth more than in two samples of one "
        "domain."),
    mechanism("nuisances", better("dictionary", "compnet", "to target"),
        "The transitional dictionary is nearer to the target's kernels than the source's is."),
    mechanism("nuisances", better("dictionary", "target's dictionary", "to source"),
        "The transitional dictionary is nearer to the source's kernels than the target's is."),
    *(effect(name, better(arm, control, metric, by=0.03), f"{text}: {shift}.")
      for arm, control, metric, text in STAGES for name, shift in DATA.items()),
    *((promised if by else effect)(name, beats_all("ugt", PROBES + CORALS, metric, by=by),
        f"UGT does well where the domain changes: {f'over {100 * by:.0f} points ' if by else ''}better than the best "
        f"of six, three linear probes and three with CORAL, on {metric} pictures: {DATA[name]}.")
      for name, metric, by in MARGINS),
    effect("nuisances", not_worse("ugt", "compnet", "clean", within=0.02),
        "Adaptation costs at most two points on clean pictures of the source."),
    paper_scale("UGT is best on OOD-CV.", at_scale("OOD-CV")),
    paper_scale("UGT is best on ImageNet-C.", at_scale("ImageNet-C")),
    paper_scale("Up to 10 points of top-1 accuracy above others on Occluded OOD-CV.", at_scale("Occluded OOD-CV")),
)

claim = Claim(
    slug="ugt",
    ledger=LEDGER,
    behaviour=behaviour,
    experiments={
        "nuisances": Experiment(
            run=functools.partial(run, nuisance), drawn=functools.partial(nuisance, see=as_it_is, side=16),
            data=lambda case: [worlds.digits("handwritten")],
            development=("fog 0", "snow 0", "blur 0", "contrast 0"),
            confirmation=("fog 2", "snow 2", "blur 3", "contrast 4", "fog 4"),
            unit="corruption of handwritten digits", **seeds(1)),
        "synthetic": Experiment(
            run=functools.partial(run, synthetic), drawn=functools.partial(synthetic, see=as_it_is, side=16),
            data=lambda case: [worlds.digits("handwritten"), worlds.digits("printed", 8, 4)],
            development=("dejavu 0", "dejavu 1"), confirmation=("other 4", "other 5", "other 6", "other 7"),
            unit="part of the handwritten digits", **seeds(1)),
        "drawings": Experiment(
            run=functools.partial(run, drawings), drawn=functools.partial(drawings, see=as_it_is),
            data=lambda case: of_split(case, "subgroup"),
            unit="vendor", **seeds(1), **of_both({
                "development": ("noto emojione openmoji", "twemoji openmoji fluent-emoji-flat"),
                "confirmation": (
                    "noto-v1 emojione-v1 fluent-emoji", "fluent-emoji emojione-v1 noto-v1",
                    "fluent-emoji noto-v1 emojione-v1", "noto-v1 emojione-v1 fluent-emoji-high-contrast",
                    "fluent-emoji noto-v1 emojione-monotone"),
            })),
        "parts": Experiment(
            run=run_parts, drawn=drawn_parts, data=lambda case: of_split(case, "subgroup"),
            unit="pair of vendors", **seeds(1), **of_both({
                "development": ("noto emojione", "twemoji openmoji"),
                "confirmation": (
                    "noto-v1 emojione-v1", "emojione-v1 fluent-emoji", "fluent-emoji noto-v1",
                    "fluent-emoji-high-contrast emojione-monotone", "emojione-monotone noto-v1"),
            })),
    },
    licences=(worlds.DIGITS, worlds.FONTS, worlds.EMOJI, worlds.LITE0),
)
# fmt: on
