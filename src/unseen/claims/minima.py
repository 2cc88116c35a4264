"""What MINIMA's abstract asserts, as experiments on photographs that packages ship."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.claims.base import Claim, Experiment, Result, seeds
from unseen.claims.conditions import at_least, at_most, better, not_worse
from unseen.claims.ledger import effect, mechanism, not_testable, paper_scale, promised
from unseen.claims.photographed import BUDGIE, LICENCES, POINTS, SIZE, graded, learned_from, of_case, pair_of, scene
from unseen.data.homographies import apply, generator_of, moved_corners, sampled, warped
from unseen.data.opencv import opencv
from unseen.data.simulate.modalities import luma, modality_names, render
from unseen.methods.matching import needs
from unseen.methods.matching.matcher import PairMatcher, quarter_turn, turned
from unseen.methods.matching.minima import MINIMA
from unseen.nn.matchers import matcher
from unseen.runtime import without_checkpoints

TRAINED = ("event", "sketch", "infrared", "normal")
"""Modalities that are learned from."""
UNSEEN = ("paint", "negative", "night", "thermal")
"""Modalities that no arm learns from."""
SETTINGS: dict[str, Any] = {"steps": 200}
"""Of both arms that learn; the rest is the default."""
WARPS = 4
"""Pairs of a photograph and a modality: with one, a single transform that fails decides a case, and it fails on another
processor than it did on this one."""


# -- matchers ----------------------------------------------------------------------------------------------


@functools.cache
def untuned(name: str, renderings: bool = False, rotations: bool = False) -> PairMatcher:
    """A matcher with its published weights."""
    return PairMatcher(renderings=renderings, rotations=rotations).fit(model=matcher(name, points=POINTS))


@functools.cache
def tuned(seed: int, modalities: tuple[str, ...] | None = None) -> MINIMA:
    """XFeat after the same steps, on all modalities of the default list or on those named."""
    settings = {**SETTINGS, "random_state": seed} | ({} if modalities is None else {"modalities": modalities})
    with without_checkpoints():
        return MINIMA(**settings).fit(source=learned_from(), model=matcher("xfeat", points=POINTS))


def with_renderings(method: MINIMA) -> MINIMA:
    """The same tuned matcher, asked in three ways."""
    three_ways = MINIMA(**{**method.get_params(), "renderings": True})
    three_ways.network_ = method.network_
    return three_ways


def arms(seed: int) -> dict[str, PairMatcher]:
    """All matchers of a seed."""
    matchers: dict[str, PairMatcher] = {
        "xfeat": untuned("xfeat"),
        "control": tuned(seed, ("visible",)),
        "minima": tuned(seed),
        "three ways": untuned("xfeat", renderings=True),
        "sift": untuned("sift"),
        "orb": untuned("orb"),
    }
    return matchers | {"minima, three ways": with_renderings(tuned(seed))}


# -- modalities --------------------------------------------------------------------------------------------


def warped_pairs(case: str, name: str, seed: int, n: int = WARPS) -> list[tuple[NDArray[np.uint8], Any]]:
    """A photograph rendered in a modality and warped, and what became of its pixels, n times."""
    picture, rng = scene(case), generator_of(f"{case}:{name}", seed)
    return [pair_of(picture, name, rng) for _ in range(n)]


def drawn_pairs(case: str, seed: int) -> dict[str, Any]:
    """What a cell draws: the first pair of each modality."""
    return {name: warped_pairs(case, name, seed, 1) for name in ("visible", *TRAINED, *UNSEEN)}


def run_modalities(case: str, seed: int) -> Result:
    """One photograph against itself, rendered and warped: `auc@10` and `accuracy@3` of every modality and matcher."""
    picture = scene(case)
    table: Result = {}
    for name in ("visible", *TRAINED, *UNSEEN):
        seconds, truths = zip(*warped_pairs(case, name, seed))
        for arm, method in arms(seed).items():
            figures = graded(method, [(picture, second) for second in seconds], truths)
            table.setdefault(arm, {})[f"{name} auc"] = figures["auc@10"]
            table[arm][f"{name} accuracy"] = figures["accuracy@3"]
    for figures in table.values():
        for kind, names in (("trained", TRAINED), ("unseen", UNSEEN)):
            for metric in ("auc", "accuracy"):
                figures[f"{kind} {metric}"] = float(np.mean([figures[f"{name} {metric}"] for name in names]))
        figures["lost to the modality"] = figures["visible auc"] - figures["trained auc"]
    return table


# -- turned pictures ---------------------------------------------------------------------------------------


def turned_pair(case: str, seed: int) -> tuple[NDArray[np.uint8], Any]:
    """A photograph that is warped and turned by a quarter, and what became of its pixels."""
    second, truth = pair_of(scene(case), "visible", generator_of(f"{case}:turned", seed))
    truth[:, 2:] = apply(quarter_turn(SIZE[0]), truth[:, 2:])
    return turned(second, 1), truth


def run_turned(case: str, seed: int) -> Result:
    """The second picture is warped and turned by a quarter."""
    picture, (second, truth) = scene(case), turned_pair(case, seed)
    table = {}
    for arm, method in {
        "xfeat": untuned("xfeat"), "xfeat, rotations": untuned("xfeat", rotations=True), "sift": untuned("sift"),
    }.items():  # fmt: skip
        table[arm] = {"auc": graded(method, [(picture, second)], [truth])["auc@10"]}
    return table


# -- the engine --------------------------------------------------------------------------------------------


def warp_and_draws(case: str, seed: int) -> tuple[NDArray[np.float64], dict[str, int]]:
    """A homography, and what each modality is rendered by."""
    rng = generator_of(f"{case}:engine", seed)
    matrix = moved_corners(rng, *SIZE, 0.05)
    return matrix, {name: int(rng.integers(2**31)) for name in modality_names()}


def run_engine(case: str, seed: int) -> Result:
    """How far contours lie from those of the photograph, and whether warping commutes with rendering."""
    cv2, picture = opencv(), scene(case)
    matrix, draws = warp_and_draws(case, seed)
    table = {}
    for name, draw in draws.items():
        rendered = render(picture, name, draw)
        after, before = warped(rendered, matrix, *SIZE), render(warped(picture, matrix, *SIZE), name, draw)
        inside = cv2.erode(warped(np.full_like(picture, 255), matrix, *SIZE)[..., 0], np.ones((25, 25))) > 0
        blurred = (cv2.GaussianBlur(luma(part), (0, 0), 3)[inside] for part in (after, before))
        agreement = float(np.nan_to_num(np.corrcoef(*blurred)[0, 1]))
        table[name] = {"pixels off": shift(contours(picture), contours(rendered)), "agreement": agreement}
    return table


def shift(moving: NDArray[np.float32], fixed: NDArray[np.float32]) -> float:
    """By how many pixels one map must be moved to be most like another, of at most five in x and in y."""
    inner = moving[5:-5, 5:-5]
    place = opencv().minMaxLoc(opencv().matchTemplate(fixed, inner, opencv().TM_CCOEFF_NORMED))[3]
    return float(np.hypot(place[0] - 5, place[1] - 5))


def contours(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """How much all channels vary around a pixel: alike on both sides of a contour, whatever its colours."""
    cv2, values = opencv(), picture.astype(np.float32)
    mean = cv2.blur(values, (9, 9))
    variance = np.maximum(cv2.blur(values * values, (9, 9)) - mean * mean, 0)
    return np.asarray(np.sqrt(variance).sum(axis=2), dtype=np.float32)


def behaviour() -> dict[str, Any]:
    """A picture in every modality, homographies of a name, and the matches of ORB and of turned pictures."""
    picture = needs.scene(3, 160)
    matrix = moved_corners(np.random.default_rng(0), 168, 160, 0.1)
    second = warped(picture, matrix, 168, 160)
    orb = PairMatcher(rotations=True).fit(model=matcher("orb", points=200))
    return {
        "renderings": np.stack([render(picture, name, 1) for name in modality_names()]),
        "homographies": np.stack([matrix, sampled(generator_of("a.png"), 168, 160)]),
        "matches": orb.matches_of(picture, turned(second, 1)).points,
    }


# fmt: off
LEDGER = (
    not_testable("Matching across views and modalities is crucial for multimodal perception.",
        "A motive, not a property of a method."),
    mechanism("modalities", at_least("xfeat", "lost to the modality", 0.1),
        "The modality gap makes matching hard: an untuned matcher loses .1 of the area at least from photographs to "
        "events, sketches, pseudo-infrared and pseudo-normals."),
    not_testable("Existing works extract invariant features for specific modalities, train on limited data, and "
        "generalize poorly.", "About other works. Untuned matchers stand beside it here."),
    mechanism("engine", at_most("event", "pixels off", 2.5),
        "A data engine makes multimodal data with exact labels: events lie where the contours of the photograph "
        "do, to within 2.5 pixels (what events themselves are off by)."),
    mechanism("engine", at_most("infrared", "pixels off", 1.5), "The same of the stand-in for infrared, within 1.5."),
    mechanism("engine", at_most("sketch", "pixels off", 1.5), "The same of the stand-in for sketches, within 1.5."),
    mechanism("engine", at_least("normal", "agreement", 0.8),
        "Labels and diversity of photographs are inherited: to render and to warp commute (normals)."),
    mechanism("engine", at_least("sketch", "agreement", 0.6), "The same of sketches, up to what is drawn at random."),
    promised("modalities", better("minima", "xfeat", "trained auc", by=0.03),
        "Tuned on randomly chosen modality pairs, a matcher gains cross-modal ability: on the four modalities that it "
        "saw rendered, against its published weights."),
    effect("modalities", better("minima", "control", "trained auc", by=0.03),
        "It is the modalities that do it, not the steps: against the same steps on the same photographs alone."),
    effect("modalities", better("minima", "control", "event auc", by=0.05), "In-domain, events."),
    effect("modalities", better("minima", "control", "sketch auc", by=0.02), "In-domain, sketches."),
    effect("modalities", better("minima", "control", "infrared auc", by=0.05), "In-domain, pseudo-infrared."),
    effect("modalities", better("minima", "control", "normal auc", by=0.05), "In-domain, pseudo-normals."),
    effect("modalities", better("minima", "control", "unseen auc", by=0.03),
        "Zero-shot: on four modalities that no arm was trained on (paint, negative, night, thermal-like), against the "
        "control."),
    effect("modalities", better("minima", "control", "negative auc", by=0.05), "Zero-shot, photographic negatives."),
    effect("modalities", better("minima", "control", "paint auc"), "Zero-shot, oil paint."),
    effect("modalities", better("minima", "control", "night auc"), "Zero-shot, night."),
    effect("modalities", better("minima", "control", "thermal auc", by=0.05), "Zero-shot, thermal-like."),
    effect("modalities", better("minima", "three ways", "trained auc"),
        "It surpasses what needs no training: the untuned matcher on pictures as they are, inverted and as gradients, "
        "where the most inliers win; on the trained modalities."),
    effect("modalities", better("minima", "three ways", "unseen auc"), "The same on the unseen modalities."),
    effect("modalities", better("minima, three ways", "three ways", "trained auc", by=0.02),
        "Tuning adds to asking in three ways: trained modalities."),
    effect("modalities", better("minima, three ways", "three ways", "unseen auc"),
        "Tuning adds to asking in three ways: unseen modalities."),
    effect("modalities", better("minima", "sift", "trained auc", by=0.1),
        "It outperforms hand-made features across modalities: SIFT with the ratio test."),
    effect("modalities", not_worse("minima", "xfeat", "visible auc", within=0.05),
        "It stays universal: on photographs it loses at most .05 of the area (forgetting)."),
    effect("modalities", not_worse("minima", "xfeat", "visible accuracy", within=0.05),
        "The same of the share of matches that are right within 3 pixels."),
    promised("turned", better("xfeat, rotations", "xfeat", "auc", by=0.3),
        "Turned pictures are matched by trying turns (`--rotations`, ours): the published weights alone do not."),
    paper_scale("MD-syn, made of MegaDepth in six modalities, fills the gap of data for multimodal matching.",
        "Needs MegaDepth and five generators: `register_modality` takes them, `fit(pairs=...)` its posed pairs."),
    paper_scale("Any advanced pipeline can be trained so: LoFTR, LightGlue and RoMa in the paper.",
        "Needs their training code and GPU weeks; a network with `matching_loss` is tuned by `fit(model=...)`."),
    paper_scale("On 19 cross-modal cases it outperforms the baselines and even methods for one modality.",
        "Needs METU-VisTIR, DIODE, DSEC and MMIM and the modality's own methods; `Pairs` of their pictures are matched "
        "by `match`, graded by `unseen.evaluation.tasks.matches`."),
    not_testable("Data and code are available.", "A claim about the release: LSXI7/MINIMA."),
)

SHIPPED = ("shipped/china", "shipped/astronaut", "shipped/coffee", "shipped/chelsea", "shipped/rocket")
CASES: dict[str, Any] = {
    "development": SHIPPED, "confirmation": BUDGIE, "unit": "photograph", "data": of_case,
    "nothing": "xfeat", **seeds(1),
}
"""What no look at this claim had opened confirms: the first confirmation, of one pair each, had six others. Those with
texture all over, which are gim's, too, whose figures choose nothing here."""

claim = Claim(
    slug="minima",
    ledger=LEDGER,
    behaviour=behaviour,
    experiments={
        "modalities": Experiment(run=run_modalities, drawn=drawn_pairs, **CASES),
        "turned": Experiment(run=run_turned, drawn=turned_pair, **CASES),
        "engine": Experiment(run=run_engine, drawn=warp_and_draws, **CASES),
    },
    licences=LICENCES,
)
# fmt: on
