"""What systems give on small standard inputs beyond a method's `fit` and outputs, for their stamps.

Each function takes no more than two seconds and reads nothing; the keys of what it returns are what a stamp names.
"""

from __future__ import annotations

import tempfile
import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from unseen.data.domain import Domain
from unseen.runtime import reproducible, without_checkpoints
from unseen.testing.inputs import convnet, samples_of

Behaviour = dict[str, Any]


def blobs(kind: str = "features", n: int = 60, seed: int = 3) -> Domain:
    """Samples around a centre of each of four classes."""
    x, y = samples_of(kind, n, seed)
    return Domain(x=x, y=y, kind=kind)  # type: ignore[arg-type]


def network() -> torch.nn.Module:
    """A small convolutional network whose BatchNorm layers have seen something."""
    with reproducible(0):
        made = convnet().train()
        with torch.no_grad():
            for seed in range(20):
                made(torch.as_tensor(blobs("image", seed=seed).x))
    return made.eval()


# -- curation ----------------------------------------------------------------------------------------------


def laion() -> Behaviour:
    """Links of the pages of a small web and their pictures, with the reasons for each drop; pairs that are kept."""
    from PIL import Image

    from unseen.data.simulate.web import Thing, small_web
    from unseen.methods.curation.laion import accept, heads, parse, similarity

    colours = np.random.default_rng(0).integers(0, 256, (40, 12, 12, 3), dtype=np.uint8)
    pictures = [Image.fromarray(colour).resize((96, 96), Image.Resampling.NEAREST) for colour in colours]
    things = [Thing(f"key/{i}", one, {"en": f"a drawing of thing {i}"}) for i, one in enumerate(pictures)]
    web = small_web(things, n_pages=6, each_fault=2, seed=0)
    links = parse.parse_pages(parse.Page(f"http://site.example{path}", body) for path, body in web.pages.items())
    looked = [accept.look(answer.body, accept.Acceptance()) for answer in web.answers.values()]
    points = blobs(n=200)
    cosines, streams = points.x[:, 0].astype(np.float32) / 9, ["en" if label else "multi" for label in points.labels]
    kept = similarity.passes(cosines, streams, similarity.thresholds(None, 0.5, cosines, streams))
    unit = points.x / np.linalg.norm(points.x, axis=1, keepdims=True)
    about = {"name": "points", "fingerprint": "", "dim": unit.shape[1]}
    head = heads.train_head(unit, points.labels == 0, name="unsafe", encoder=about, folds=0)
    return {
        "links": dict(Counter(link.reason for link in links)),
        "pictures": dict(Counter(one.reason for one in looked)),
        "similarity": np.flatnonzero(kept),
        "duplicates": similarity.one_of_each(unit, cosines, 0.9),
        "head": head.score(unit),
    }


def concept_frequency() -> Behaviour:
    """Counts of concepts in a few captions, and the fit of accuracies that follow them."""
    from unseen.methods.curation.concept_frequency import ConceptIndex, fit_log_linear, rare_concepts

    captions = ["two dogs and a cat", "the cat on paper", "a hot dog", "dog, dog, cats!", "mice in view", "a bus stop"]
    concepts = ("dog", "cat", "mouse", "bus stop", "hot dog")
    counts = ConceptIndex.from_captions(captions).counts(concepts)
    shown = np.unique(np.round(1.6 ** np.arange(24) / 5).astype(np.int64) + 1)
    found = fit_log_linear(shown, 12 * np.log(shown) + np.random.default_rng(0).normal(0, 4, len(shown)))
    figures = [found.r, found.raw_r, found.slope, found.intercept, found.aic_log, found.aic_linear]
    return {"counts": counts, "rare": list(rare_concepts(concepts, counts)), "fit": np.array(figures)}


def concept_pruning() -> Behaviour:
    """Which of some points stay by each rule, with copies and without."""
    from unseen.nn.concepts import find_concepts

    x = np.concatenate([blobs().x, blobs().x[:20]]).astype(np.float32)
    whole, unique = (find_concepts(x, n_clusters=6, restarts=2, dedup=dedup) for dedup in (None, 0.02))
    rules: dict[str, Any] = {"dbp": {}, "ssp": {"rule": "ssp", "floor": 0.5}, "balanced": {"rule": "uniform"}}
    return {
        f"{name}{told}": np.sort(concepts.select(20, **rule).indices)
        for told, concepts in (("", whole), (", deduplicated", unique))
        for name, rule in rules.items()
    }


# -- adaptation --------------------------------------------------------------------------------------------


def idm() -> Behaviour:
    """Collages, looks of one given to others in each space, patches mixed, and what is selected of scores."""
    from unseen.data.classes import ClassSpace
    from unseen.data.simulate.collages import collages
    from unseen.nn.informative import InformativeSelector, uncertainty
    from unseen.nn.pixel_mix import patch_mix
    from unseen.nn.style import match_statistics

    rng = np.random.default_rng(0)
    cut = Domain(x=rng.integers(0, 256, (6, 4, 16, 16), dtype=np.uint8), y=np.arange(6) % 3, kind="image",
                 classes=ClassSpace(names=("a", "b", "c")))  # fmt: skip
    made = collages(cut, [rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)], 4, side=32, light="dusk")
    x, y = torch.as_tensor(made.x), torch.as_tensor(np.stack(list(made.labels)).astype(np.int64))
    looks = {space: match_statistics(x, x[0].flip(-1) * 0.5, space, window=0.1) for space in ("lab", "rgb", "fourier")}
    mixed = patch_mix(x, y, x.flip(0), y.flip(0), torch.ones(y.shape), 4, torch.Generator().manual_seed(0))
    scores = uncertainty(
        torch.randn(200, 3, 4, 4, generator=torch.Generator().manual_seed(1)), y[:1, :4, :4].expand(200, 4, 4)
    )
    return {
        "collages": made.x,
        "masks": y.numpy(),
        **looks,
        "mixed": mixed[0],
        "selected": InformativeSelector()(scores),
    }


# -- compression -------------------------------------------------------------------------------------------


def zeroq() -> Behaviour:
    """Sensitivity, the bits of a frontier, and what a file in integers says of pictures."""
    from unseen.methods.compression.zeroq import ZeroQ
    from unseen.nn.integer import export_integers, run_onnx

    model, x = network(), torch.as_tensor(blobs("image").x)
    with without_checkpoints(), tempfile.TemporaryDirectory() as folder:
        settings: dict[str, Any] = {"shape": tuple(x.shape[1:]), "batch_size": 16, "iterations": 5}
        method = ZeroQ(**settings, precision="mixed").fit(model=model)
        export_integers(model, x[:2], method.distilled_, file := Path(folder, "integers.onnx"))
        integers = run_onnx(file, x)
    bits = {str(mean): list(method.choose(average_bits=mean).values()) for mean in (3.0, 4.0, 6.0)}
    return {"sensitivity": method.sensitivity_, "bits": bits, "integers": integers}


def genie() -> Behaviour:
    """Pictures that a network's statistics give, in each way to make them."""
    from unseen.methods.compression.genie.synthesis import Mode, synthesize

    settings: dict[str, Any] = {"samples": 8, "batch_size": 8, "steps": 4, "latent": 8, "width": 8}
    out = {}
    for mode in get_args(Mode):
        with without_checkpoints(), reproducible(0):
            out[mode] = synthesize(network(), (3, 8, 8), mode=mode, **settings)[0]
    return out


def parzc() -> Behaviour:
    """Architectures that are drawn, what is measured of them untrained, and what a search finds by a score."""
    from unseen.nn.search_spaces import get
    from unseen.nn.search_spaces.measure import measure
    from unseen.nn.search_spaces.search import evolve

    out: Behaviour = {}
    data = blobs("image")

    def score(texts: Sequence[str]) -> NDArray[np.float64]:
        return np.array([zlib.crc32(text.encode()) % 997 for text in texts], dtype=float)

    for name in ("cells", "vits"):
        space = get(name)
        drawn = [str(one) for one in space.sample(4, 0)]
        out[f"{name} drawn"] = drawn
        out[f"{name} measured"] = measure(space, drawn[:2], data, n_classes=4)
        out[f"{name} evolved"] = evolve(space, score, 40, 10, 3, 0).architectures[:5]
    return out


# -- styles and series -------------------------------------------------------------------------------------


def smos() -> Behaviour:
    """The measures of styles on points, and pictures as consoles draw them."""
    from unseen.data.renditions import consoles
    from unseen.diagnosis.stylistic import frechet, icv, idd, scaled

    one, other = blobs(), blobs(seed=7)
    a, b = scaled(one.x, other.x)
    options: dict[str, Any] = {"max_pairs": 40, "draws": 20}
    measures = [icv(a, one.labels, **options), idd(a, one.labels, b, other.labels, **options)]
    figures = [figure for found in measures for figure in (found.value, found.low, found.high)]
    rng = np.random.default_rng(0)
    pictures = Domain(x=rng.random((4, 3, 64, 64), dtype=np.float32), y=np.arange(4), kind="image")
    return {"measures": np.array([*figures, frechet(a, b)]), "renditions": consoles(pictures).x}


def ttm() -> Behaviour:
    """Forecasts of the model that comes with the package, before and after a short tuning."""
    from unseen.data.series import series_domain
    from unseen.methods.forecasting.ttm import pretrained

    hours = np.arange(1400)
    values = np.sin(2 * np.pi * hours / 24) + 0.3 * np.sin(2 * np.pi * hours / 168)
    model = pretrained(random_state=0, fraction=0.05, tune_epochs=1)
    context = values[None, -model.context :, None]
    before = model.forecast(context, period=3600.0)
    with without_checkpoints():
        tuned = model.adapt(series=series_domain([values[:, None]], period=3600.0))
    return {"zero-shot": before, "few-shot": tuned.forecast(context, period=3600.0)}


def minima() -> Behaviour:
    """A picture in every modality, homographies of a name, and the matches of ORB and of turned pictures."""
    from unseen.data.homographies import generator_of, moved_corners, sampled, warped
    from unseen.data.simulate.modalities import modality_names, render
    from unseen.methods.matching.matcher import PairMatcher, turned
    from unseen.methods.matching.needs import scene
    from unseen.nn.matchers import matcher

    picture = scene(3, 160)
    matrix = moved_corners(np.random.default_rng(0), 168, 160, 0.1)
    second = warped(picture, matrix, 168, 160)
    orb = PairMatcher(rotations=True).fit(model=matcher("orb", points=200))
    return {
        "renderings": np.stack([render(picture, name, 1) for name in modality_names()]),
        "homographies": np.stack([matrix, sampled(generator_of("a.png"), 168, 160)]),
        "matches": orb.matches_of(picture, turned(second, 1)).points,
    }


def gim() -> Behaviour:
    """Two frames of a flight and its truth, a chain of labels, a pose, areas and ranks."""
    import pandas as pd

    from unseen.data.simulate.flights import flight
    from unseen.evaluation.zeb import areas, summary
    from unseen.methods.matching.gim.propagation import link
    from unseen.methods.matching.needs import scene
    from unseen.nn.two_view import relative_pose

    video = flight(scene(3, 160), frames=9, layers=2, size=(96, 72), seed=1)
    rows, back = video.truth(0, 4, 4), video.truth(4, 8, 4)
    back[: len(rows) // 2, :2] = rows[: len(back[: len(rows) // 2]), 2:]
    errors = pd.DataFrame(
        [(d, str(p), m, float(2 * p + k)) for k, m in enumerate("ab") for d in "xy" for p in range(3)],
        columns=["dataset", "pair", "matcher", "error"],
    )
    pose = relative_pose(rows, video.intrinsics, video.intrinsics)
    return {
        "frames": np.stack([video.frame(0), video.frame(8)]),
        "truth": rows,
        "linked": link(rows, back),
        "posed": pose is not None,
        "scores": summary(areas(errors)).to_numpy(),
    }


def ugt() -> Behaviour:
    """Pictures in fog and behind occluders, as they are simulated."""
    from unseen.data.simulate import corrupted, occluded
    from unseen.data.sources import digits

    some = digits("handwritten", size=32).take(slice(4))
    shifts = {"occluded": occluded(some, 0.4)} | {name: corrupted(some, name, 4) for name in ("fog", "snow", "blur")}
    return {name: np.stack([np.asarray(one) for one in shift.x]) for name, shift in shifts.items()}


def crafting_shifts() -> Behaviour:
    """Copies of pictures by every family of changes, and how configurations are chosen by them."""
    from unseen.validation import crafted_copies, middle_of_the_best

    x = (blobs("image", n=3).x / 8 + 0.5).clip(0, 1).astype(np.float32)
    chosen = middle_of_the_best([0.5, 0.7, 0.7, 0.7, 0.2], [0.1, 0.2, 0.3, 0.4, 0.5])
    return {**crafted_copies(x), "chosen": chosen}


# -- classes and teachers ----------------------------------------------------------------------------------


def loki() -> Behaviour:
    """What can be predicted in a tree and a grid, and which classes are asked for next."""
    import networkx as nx

    from unseen.data.label_metrics import GraphMetric, LabelMetric, TreeMetric
    from unseen.methods.zero_shot.loki.locus import active_classes, locus, minimum_cover
    from unseen.methods.zero_shot.loki.sampling import central_class

    tree = TreeMetric(np.array([-1, *((np.arange(1, 30) - 1) // 2)]))
    grid = GraphMetric(nx.to_scipy_sparse_array(nx.grid_2d_graph(4, 4)))
    some = np.array([7, 12, 3])
    metrics: dict[str, LabelMetric] = {"tree": tree, "grid": grid}
    return {name: [np.flatnonzero(locus(own, some)), central_class(own)] for name, own in metrics.items()} | {
        "cover": minimum_cover(tree), "active": active_classes(tree, some),
    }  # fmt: skip


def mte_zsar() -> Behaviour:
    """The regressors that the mapping is compared with, and weights by a ratio of densities."""
    from unseen.methods.zero_shot.mte_zsar import regressors
    from unseen.nn.density_ratio import kliep

    x, other = (torch.as_tensor(blobs(seed=seed).x).double() for seed in (3, 4))
    z = x @ torch.as_tensor(np.random.default_rng(0).normal(size=(x.shape[1], 5)))
    m = regressors.moments(x, z)
    maps = {
        "ridge": regressors.ridge(m, 1.0), "rmtl": regressors.rmtl(m, 1.0, 0.1),
        "gomtl": regressors.gomtl(m, 3, 0.1, 0.1), "mte": regressors.mte(m, 3, 0.1, 0.1),
    }  # fmt: skip
    return {name: own.s @ own.a for name, own in maps.items()} | {"weights": kliep(other, x, centres=20)(x)}


def pbadv() -> Behaviour:
    """The figures of a sweep of the bias towards unseen pairs."""
    from unseen.evaluation.metrics.bias_sweep import bias_sweep

    rng = np.random.default_rng(0)
    scores, truth = rng.normal(size=(200, 8)), rng.integers(0, 8, 200)
    scores[np.arange(200), truth] += 1
    return {"sweep": dict(bias_sweep(scores, truth, np.arange(5)).figures)}


def distill_similar() -> Behaviour:
    """How similar the networks of a zoo are to a task, by each measure."""
    from unseen.nn.classifier import feature_classifier
    from unseen.nn.zoo import rank_teachers

    task = blobs()
    with reproducible(0):
        zoo = {f"{n} classes": feature_classifier(task.n_features, n, 8).eval() for n in (3, 5)}
    metrics = ("parc", "leep", "h-score", "knn", "cka")
    found = rank_teachers(zoo, task, metrics).set_index("name").loc[list(zoo)]  # type: ignore[arg-type]
    return {metric: found[metric].to_numpy(dtype=float) for metric in metrics}
