"""UGT's claims: digits in fog and behind occluders, from fonts to handwriting, and drawings by other hands.

All shifts are declared simulations or stand-ins: corruptions and occluders are those of `unseen.data.simulate`; printed
digits stand for synthetic pictures, handwritten ones for real ones.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from unseen import encoders
from unseen.claims.base import (
    Assertion,
    Claim,
    Condition,
    Experiment,
    OnMetric,
    Verdict,
    at_least,
    better,
    equals,
    not_worse,
)
from unseen.claims.drawings import drawn
from unseen.data.domain import Domain, concatenate
from unseen.data.simulate import corrupted, covered_cells, occluded
from unseen.data.sources import digits
from unseen.data.sources.digits import FONTS
from unseen.evaluation.metrics.classification import accuracy
from unseen.methods.adaptation.ugt import UGT
from unseen.methods.base import Method, signatures
from unseen.methods.baselines.coral import CORAL
from unseen.methods.baselines.source_only import SourceOnly
from unseen.methods.checks import as_regions
from unseen.nn.von_mises_fisher import kernel_similarity

Table = dict[str, dict[str, float]]

FINE = "efficientnet-lite0?crop=1&layer=4&regions=14"
"""Parts of strokes: the fourth map, 14 x 14 cells of 112 values."""
LAST = "efficientnet-lite0?crop=1&regions=7"
"""Parts of things: the last map, 7 x 7 cells of 1,280 values."""
ARMS: dict[str, dict[str, Any]] = {
    "compnet": {"dictionary": "source", "refine_rounds": 0},
    "compnet, no clutter": {"dictionary": "source", "refine_rounds": 0, "clutter": "none"},
    "dictionary": {"refine_rounds": 0},
    "target's dictionary": {"dictionary": "target", "refine_rounds": 0},
    "ugt": {},
}
SHARES = (0.2, 0.4, 0.6, 0.8)
"""Of a picture that an occluder covers."""
SEVERITY, SHIFTED_SHARE = 4, 0.3
KERNELS, EM = 64, 30
"""Size of the dictionary, and iterations of EM on the last map, whose 1,280 values take long."""


# -- data --------------------------------------------------------------------------------------------------


@functools.cache
def encoded(name: str) -> encoders.Encoder:
    """An encoder, loaded once."""
    return encoders.get(name)


def seen(domain: Domain, encoder: str) -> Domain:
    """Features and regions."""
    return encoded(encoder).encode(domain, precision="fp32")


def of_each(domain: Domain, first: int, last: int) -> Domain:
    """The samples of each class from the first to the last, in an order of their own."""
    rng = np.random.default_rng(0)
    orders = [rng.permutation(np.flatnonzero(domain.labels == c)) for c in np.unique(domain.labels)]
    return domain.take(np.concatenate([order[first:last] for order in orders]))


def behind(domain: Domain, encoder: str, share: float, seed: int) -> Domain:
    """The pictures behind occluders of texture."""
    return seen(occluded(domain, share, random_state=seed), encoder)


Tests = dict[str, Domain]


def nuisance(case: str, seed: int) -> tuple[Domain, Domain, Tests]:
    """Handwritten digits, and others under a corruption; a case is `CORRUPTION FOLD`, a fold is 32 of each digit."""
    name, fold = case.split()
    start = 32 * int(fold)
    pictures = digits("handwritten", size=224)
    source, other = (of_each(pictures, start + 16 * half, start + 16 * (half + 1)) for half in (0, 1))
    return seen(source, FINE), *under(other, corrupted(other, name, SEVERITY), FINE, seed)


def synthetic(case: str, seed: int) -> tuple[Domain, Domain, Tests]:
    """Printed digits, and handwritten ones; a case is `FONTS FOLD`, a fold is 20 of each digit."""
    family, fold = case.split()
    printed = digits("printed", size=224, copies=4)
    fonts = [font for font in FONTS if font.startswith("DejaVu") == (family == "dejavu")]
    printed = printed.take(np.isin(printed.columns["font"], fonts))
    written = of_each(digits("handwritten", size=224), 20 * int(fold), 20 * (int(fold) + 1))
    clean, source = of_each(printed, 0, 10), of_each(printed, 10, 30)
    target, tests = under(clean, written, FINE, seed)
    return seen(source, FINE), target, tests


GROUPS = (
    "animal-mammal", "transport-ground", "sky-weather", "clothing", "time", "food-prepared", "place-building", "office",
    "face-concerned", "person-sport", "tool",
)  # fmt: skip


def drawings(case: str, seed: int) -> tuple[Domain, Domain, Tests]:
    """Emoji of two vendors, a fifth of them held out, and all of a third; a case is `SPLIT SOURCE SOURCE TARGET`."""
    split, *vendors = case.split()
    styles = {style.name: style for style in drawn(split)}
    kept = np.isin(styles[vendors[0]].columns["subgroup"], GROUPS)
    y = np.array([GROUPS.index(g) for g in styles[vendors[0]].columns["subgroup"][kept]])
    own = [styles[vendor].take(kept).replace(y=y, classes=None) for vendor in vendors]
    apart = np.random.default_rng(seed).permutation(len(y)) < len(y) // 5
    source = concatenate([style.take(~apart) for style in own[:2]], name="source")
    clean = concatenate([style.take(apart) for style in own[:2]], name="clean")
    target, tests = under(clean, own[2], LAST, seed, (0.4,))
    return seen(source, LAST), target, tests


def under(
    clean: Domain, shifted: Domain, encoder: str, seed: int, shares: tuple[float, ...] = SHARES
) -> tuple[Domain, Tests]:
    """The unlabeled target, and tests: clean or shifted, alone or behind occluders."""
    target = seen(shifted, encoder)
    tests = {"clean": seen(clean, encoder), "shifted": target}
    tests |= {f"occluded {share:.0%}": behind(clean, encoder, share, seed) for share in shares}
    tests |= {"shifted, occluded": behind(shifted, encoder, SHIFTED_SHARE, seed + 1)}
    return target, tests


# -- arms --------------------------------------------------------------------------------------------------


def run(data: Any, case: str, seed: int) -> Table:
    """Every arm on one pair of domains: accuracy on all tests, where occluders were found, and what the kernels did."""
    source, target, tests = data(case, seed)
    others: dict[str, Method] = {
        "linear probe": SourceOnly().fit(source=plain(source)),
        "coral": CORAL().fit(source=plain(source), target=plain(target)),
    }
    table = {name: scored(method, {key: plain(d) for key, d in tests.items()}) for name, method in others.items()}
    fitted: dict[str, UGT] = {}
    for arm, changes in ARMS.items():
        method = UGT(kernels=KERNELS).set_params(random_state=seed, **changes)
        if source.n_features > 1000:
            method.set_params(em_iterations=EM)
        fitted[arm] = method.fit(source=source, target=target)
        table[arm] = scored(method, tests)
    table["ugt"] |= located(fitted["ugt"], tests["occluded 40%"])
    table["anywhere"] = {"iou": blind_overlap(tests["occluded 40%"], seed)}
    words = {word for signature in signatures(UGT) for word in signature.required}
    table["ugt"]["other_inputs"] = float(len(words - {"source", "target"}))
    for arm, found in transition(fitted).items():
        table[arm] |= found
    return table


def plain(domain: Domain) -> Domain:
    """The mean over all positions alone."""
    return domain.replace(x=domain.columns["regions"].mean(axis=1), columns={})


def scored(method: Method, tests: Tests) -> dict[str, float]:
    """Accuracy on every test, and the mean over all clean pictures behind occluders."""
    found = {name: accuracy(domain.labels, method.predict(domain)) for name, domain in tests.items()}
    found["occluded"] = float(np.mean([value for name, value in found.items() if name.startswith("occluded ")]))
    return found


def located(method: UGT, domain: Domain) -> dict[str, float]:
    """Intersection over union of the positions that count as occluded with those that are, the mean over pictures."""
    maps = method.occlusion_maps(as_regions(domain))
    return {"iou": overlap(maps > 0, covered(domain, maps.shape[1]))}


def covered(domain: Domain, side: int) -> NDArray[np.bool_]:
    """Cells of which an occluder covers more than half."""
    return covered_cells(domain.columns["occluder"], side) > 0.5


def overlap(found: NDArray[np.bool_], true: NDArray[np.bool_]) -> float:
    """Intersection over union."""
    union = (found | true).sum(axis=(1, 2))
    return float(((found & true).sum(axis=(1, 2)) / np.maximum(union, 1)).mean())


def blind_overlap(domain: Domain, seed: int) -> float:
    """The same of the occluder of another picture."""
    true = covered(domain, round(domain.columns["regions"].shape[1] ** 0.5))
    return overlap(true[np.random.default_rng(seed).permutation(len(true))], true)


def transition(fitted: dict[str, UGT]) -> Table:
    """Where the three dictionaries lie: cosines of kernels with the nearest of another, means over kernels."""
    source, between, target = (
        fitted[arm].network_.means.detach() for arm in ("compnet", "dictionary", "target's dictionary")
    )
    near = kernel_similarity(source, target)
    return {
        "compnet": {
            "to target": float(near.mean()),
            "alike": float((near > 0.9).double().mean()),
            "unlike": float((near < 0.8).double().mean()),
        },
        "dictionary": {
            "to target": float(kernel_similarity(between, target).mean()),
            "to source": float(kernel_similarity(between, source).mean()),
        },
        "target's dictionary": {"to source": float(kernel_similarity(target, source).mean())},
    }


def run_parts(case: str, seed: int) -> Table:
    """How often two vendors' drawings of one emoji show one kernel at one position, and those of two emoji do.

    A case is `SPLIT VENDOR VENDOR`; kernels are learnt from both without labels.
    """
    split, *vendors = case.split()
    styles = {style.name: style for style in drawn(split)}
    kept = np.isin(styles[vendors[0]].columns["subgroup"], GROUPS)
    y = np.array([GROUPS.index(g) for g in styles[vendors[0]].columns["subgroup"][kept]])
    one, other = (seen(styles[vendor].take(kept).replace(y=y, classes=None), LAST) for vendor in vendors)
    method = UGT(kernels=KERNELS, em_iterations=EM, epochs=0, refine_rounds=0).set_params(random_state=seed)
    method.fit(source=one, target=other)
    a, b = (strongest(method, domain) for domain in (one, other))
    rng = np.random.default_rng(seed)
    mates = np.arange(len(y))
    for label in np.unique(y):
        members = rng.permutation(np.flatnonzero(y == label))
        mates[members] = np.roll(members, 1)
    other_emoji = float((a == b[mates]).mean())
    return {"same emoji": {"agreement": float((a == b).mean())}, "same class": {"agreement": other_emoji}}


def strongest(method: UGT, domain: Domain) -> NDArray[np.int64]:
    """The kernel with the largest cosine at each position, (n, r)."""
    with torch.no_grad():
        return method.network_.cosines(torch.as_tensor(domain.columns["regions"])).argmax(dim=2).numpy()


# -- the ledger --------------------------------------------------------------------------------------------


def experiment(data: Any, development: tuple[str, ...], confirmation: tuple[str, ...], unit: str) -> Experiment:
    """The same arms on other data."""
    return Experiment(
        run=functools.partial(run, data), development=development, confirmation=confirmation, seeds=(0,),
        fresh_seeds=(100,), unit=unit,
    )  # fmt: skip


def drops(arm: str, *, by: float) -> Condition:
    """An arm is more than `by` worse on shifted pictures than on clean ones, on the mean over cases."""

    def holds(table: pd.DataFrame) -> Verdict:
        mine = table[table.arm == arm].copy()
        mine["arm"], mine["metric"] = mine.metric, "accuracy"
        return better("clean", "shifted", metric="accuracy", by=by)(mine)

    return OnMetric("shifted", holds)


def at_scale(data: str) -> str:
    """How to run it where the data are."""
    return (
        f"{data} is not at hand. With its folders of classes, objects cropped: unseen compare --source DIR --target "
        "DIR --methods ugt,ugt:source,ugt:dictionary --encoder 'timm:resnet50?regions=7&crop=1'; not run."
    )


claim = Claim(
    slug="ugt",
    licences=(
        "Digits: Alpaydin and Kaynak, UCI, in scikit-learn",
        "Fonts: DejaVu, STIX and Computer Modern, as matplotlib ships them",
        "Emoji: Noto (Apache-2.0), Twemoji and EmojiOne 1 and 2 (CC BY 4.0), OpenMoji (CC BY-SA 4.0), Fluent (MIT)",
    ),
    parts=("unseen.data.simulate.common", "unseen.data.simulate.corruptions", "unseen.data.simulate.occlusion"),
    experiments={
        "nuisances": experiment(
            nuisance,
            ("fog 0", "snow 0", "blur 0", "contrast 0"),
            ("fog 2", "snow 2", "blur 3", "contrast 4", "fog 4"),
            "corruption of handwritten digits",
        ),
        "synthetic": experiment(
            synthetic,
            ("dejavu 0",),
            ("other 4", "other 5", "other 6", "other 7"),
            "part of the handwritten digits",
        ),
        "drawings": experiment(
            drawings,
            ("development noto emojione openmoji", "development twemoji openmoji fluent-emoji-flat"),
            (
                "confirmation noto-v1 emojione-v1 fluent-emoji",
                "confirmation fluent-emoji emojione-v1 noto-v1",
                "confirmation fluent-emoji noto-v1 emojione-v1",
                "confirmation noto-v1 emojione-v1 fluent-emoji-high-contrast",
                "confirmation fluent-emoji noto-v1 emojione-monotone",
            ),
            "vendor",
        ),
        "parts": Experiment(
            run=run_parts,
            development=("development noto emojione", "development twemoji openmoji"),
            confirmation=(
                "confirmation noto-v1 emojione-v1",
                "confirmation emojione-v1 fluent-emoji",
                "confirmation fluent-emoji noto-v1",
                "confirmation fluent-emoji-high-contrast emojione-monotone",
                "confirmation emojione-monotone noto-v1",
            ),
            seeds=(0,),
            fresh_seeds=(100,),
            unit="pair of vendors",
        ),
    },
    ledger=(
        Assertion(
            text="Making algorithms robust to changes of the domain is an important unsolved problem.",
            level="not testable",
            reason="It is about the state of the field in 2024.",
        ),
        Assertion(
            text="A linear probe loses more than ten points where the domain changes.",
            level="effect",
            experiment="nuisances",
            holds=drops("linear probe", by=0.1),
            promised=True,
        ),
        Assertion(
            text="Nothing but labelled pictures of the source and unlabeled ones of the target is needed.",
            level="mechanism",
            experiment="nuisances",
            holds=equals("ugt", metric="other_inputs", value=0),
        ),
        Assertion(
            text="Compositional networks are robust to occlusion: far better than a linear probe on the same map.",
            level="effect",
            experiment="nuisances",
            holds=better("compnet", "linear probe", metric="occluded", by=0.1),
            promised=True,
        ),
        Assertion(
            text="That is owed to the explanation of positions as clutter.",
            level="effect",
            experiment="nuisances",
            holds=better("compnet", "compnet, no clutter", metric="occluded 60%", by=0.03),
        ),
        Assertion(
            text="They say where the occluder is, better than the occluder of another picture does.",
            level="mechanism",
            experiment="nuisances",
            holds=better("ugt", "anywhere", metric="iou", by=0.05),
        ),
        Assertion(
            text="Occluders are found on the coarse last map, too.",
            level="effect",
            experiment="drawings",
            holds=at_least("ugt", metric="iou", value=0.3),
        ),
        Assertion(
            text="They degrade badly on other domains: by more than ten points under corruptions of digits.",
            level="effect",
            experiment="nuisances",
            holds=drops("compnet", by=0.1),
        ),
        Assertion(
            text="They degrade badly from printed digits to handwritten ones.",
            level="effect",
            experiment="synthetic",
            holds=drops("compnet", by=0.1),
        ),
        Assertion(
            text="Kernels correspond roughly to parts: two hands draw one emoji with the same kernels at the same "
            "place, more than two emoji of a class.",
            level="mechanism",
            experiment="parts",
            holds=better("same emoji", "same class", metric="agreement", by=0.03),
        ),
        Assertion(
            text="Some kernels of both domains are alike (a cosine above 0.9): at least a twentieth.",
            level="effect",
            experiment="nuisances",
            holds=at_least("compnet", metric="alike", value=0.05),
        ),
        Assertion(
            text="Others are not (below 0.8): at least a twentieth.",
            level="effect",
            experiment="nuisances",
            holds=at_least("compnet", metric="unlike", value=0.05),
        ),
        Assertion(
            text="The transitional dictionary is nearer to the target's kernels than the source's is.",
            level="mechanism",
            experiment="nuisances",
            holds=better("dictionary", "compnet", metric="to target"),
        ),
        Assertion(
            text="And nearer to the source's kernels than the target's is.",
            level="mechanism",
            experiment="nuisances",
            holds=better("dictionary", "target's dictionary", metric="to source"),
        ),
        *(
            Assertion(text=text, level="effect", experiment=name, holds=better(a, b, metric=metric, by=0.03))
            for text, a, b, metric, name in (
                (
                    "Classes learnt on the transitional dictionary do better on the target: corruptions.",
                    "dictionary",
                    "compnet",
                    "shifted",
                    "nuisances",
                ),
                (
                    "Classes learnt on the transitional dictionary do better on the target: handwriting.",
                    "dictionary",
                    "compnet",
                    "shifted",
                    "synthetic",
                ),
                (
                    "Classes learnt on the transitional dictionary do better on the target: emoji of another vendor.",
                    "dictionary",
                    "compnet",
                    "shifted",
                    "drawings",
                ),
                (
                    "Iterative refinement on pseudo-labels adds to it: corruptions.",
                    "ugt",
                    "dictionary",
                    "shifted",
                    "nuisances",
                ),
                (
                    "Iterative refinement on pseudo-labels adds to it: emoji of another vendor.",
                    "ugt",
                    "dictionary",
                    "shifted",
                    "drawings",
                ),
                (
                    "All of it beats the compositional network on shifted pictures behind occluders: corruptions.",
                    "ugt",
                    "compnet",
                    "shifted, occluded",
                    "nuisances",
                ),
                (
                    "All of it beats the compositional network on shifted pictures behind occluders: handwriting.",
                    "ugt",
                    "compnet",
                    "shifted, occluded",
                    "synthetic",
                ),
                (
                    "All of it beats the compositional network on shifted pictures behind occluders: emoji.",
                    "ugt",
                    "compnet",
                    "shifted, occluded",
                    "drawings",
                ),
                (
                    "A dictionary of the target alone, without the source's, does so: corruptions.",
                    "target's dictionary",
                    "compnet",
                    "shifted, occluded",
                    "nuisances",
                ),
                (
                    "A dictionary of the target alone, without the source's, does so: emoji.",
                    "target's dictionary",
                    "compnet",
                    "shifted, occluded",
                    "drawings",
                ),
            )
        ),
        Assertion(
            text="UGT does well where the domain changes: far better than alignment of means and covariances "
            "(CORAL) under artificial corruptions.",
            level="effect",
            experiment="nuisances",
            holds=better("ugt", "coral", metric="shifted", by=0.05),
            promised=True,
        ),
        Assertion(
            text="And under corruptions with occluders.",
            level="effect",
            experiment="nuisances",
            holds=better("ugt", "coral", metric="shifted, occluded", by=0.1),
            promised=True,
        ),
        Assertion(
            text="And from synthetic to real pictures, stood in for by printed and handwritten digits.",
            level="effect",
            experiment="synthetic",
            holds=better("ugt", "coral", metric="shifted", by=0.05),
            promised=True,
        ),
        Assertion(
            text="And between vendors of emoji, behind occluders.",
            level="effect",
            experiment="drawings",
            holds=better("ugt", "coral", metric="shifted, occluded"),
        ),
        Assertion(
            text="Adaptation costs at most two points on clean pictures of the source.",
            level="effect",
            experiment="nuisances",
            holds=not_worse("ugt", "compnet", metric="clean", within=0.02),
        ),
        Assertion(text="UGT is best on OOD-CV.", level="paper scale", reason=at_scale("OOD-CV")),
        Assertion(text="UGT is best on ImageNet-C.", level="paper scale", reason=at_scale("ImageNet-C")),
        Assertion(
            text="Up to 10 points of top-1 accuracy above others on Occluded OOD-CV.",
            level="paper scale",
            reason=at_scale("Occluded OOD-CV"),
        ),
    ),
)
