"""A small saved model of every kind, and what reads it again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from unseen.bundle import Bundle
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain

SAVED = Path(__file__).parent / "data" / "saved"
Kind = tuple[Path, Callable[[Path], object]]


def mapper(home: Path) -> Kind:
    from unseen.jobs.mapping.job import Mapper

    return SAVED / "mapper", Mapper.load


def quantized(home: Path) -> Kind:
    return SAVED / "quantized", Bundle.load


def ranker(home: Path) -> Kind:
    from unseen.jobs.retrieval.job import Parts, Searcher, rank
    from unseen.nn.small_rankers import HashedWords, LastWords, hashed_ranker

    texts = np.array([f"the {animal} of house {i}" for i in range(12) for animal in ("cat", "dog")])
    corpus = Domain(x=texts, kind="text", ids=np.array([f"d{i}" for i in range(24)]), name="c")
    asked = Domain(x=np.array(["cat 1", "dog 2"]), kind="text", name="q")
    parts = Parts(encoder=HashedWords(), writer=LastWords(), ranker=hashed_ranker())
    rank(corpus, asked, systems=("minilm",), parts=parts).searchers["minilm"].save(home / "ranker")
    return home / "ranker", Searcher.load


def segmenter(home: Path) -> Kind:
    from unseen.jobs.segmentation.model import SegmentModel, Unadapted
    from unseen.nn.segmenters import small_unet

    SegmentModel(Unadapted().fit(model=small_unet(2)), ClassSpace(names=("sky", "sea")), 32).save(home / "segmenter")
    return home / "segmenter", SegmentModel.load


def head(home: Path) -> Kind:
    from unseen.methods.curation.laion.heads import Head, train_head

    rng = np.random.default_rng(0)
    y = np.arange(40) % 2
    x = (rng.normal(size=(40, 6)) + 3 * np.eye(6)[y]).astype(np.float32)
    told = {"name": "toy", "fingerprint": "ab" * 32, "dim": 6}
    train_head(x, y, name="good", encoder=told, side="image", folds=2).save(home / "head")
    return home / "head", Head.load


def method(home: Path) -> Kind:
    from unseen.methods.baselines.prototypes import Prototypes

    x, y = np.eye(4, dtype=np.float32), np.arange(4) % 2
    Prototypes().fit(support=Domain(x=x, y=y, classes=ClassSpace(names=("a", "b")))).save(home / "method")
    return home / "method", Prototypes.load


def composer(home: Path) -> Kind:
    from PIL import Image

    from unseen.encoders.towers import save_towers
    from unseen.jobs.composed_retrieval.composer import Composer
    from unseen.jobs.composed_retrieval.job import compose
    from unseen.methods.tower_shrinkers import towers_of_a_moment

    reading = {"size": [16, 16], "crop": 1.0, "mode": "squash", "mean": [0.5] * 3, "std": [0.25] * 3}
    save_towers(home / "towers", towers_of_a_moment(16), reading, "name")
    rows = ["image,caption"]
    for i in range(36):
        Image.new("RGB", (16, 16), (200 - 60 * (i % 3), 20 + 90 * (i // 3 % 3), i)).save(home / f"{i}.png")
        rows.append(f"{i}.png,a {('square', 'bar', 'dot')[i % 3]} on {('red', 'blue', 'green')[i // 3 % 3]}")
    (home / "captions.csv").write_text("\n".join(rows))
    quick = {"triplets": 20, "epochs": 1, "batch_size": 8, "project": 8, "hidden": 8}
    compose(home / "captions.csv", out=home / "composer", encoder=f"towers:{home / 'towers'}", settings=quick)
    return home / "composer", Composer.load


def captioner(home: Path) -> Kind:
    from scipy.io import wavfile

    from unseen.jobs.captioning import job
    from unseen.jobs.captioning.captioner import Captioner

    rows = ["sound,caption"]
    for i in range(12):
        tone = np.sin(np.arange(16_000) / (3 + 40 * (i % 2) + i)) * 0.5
        wavfile.write(home / f"{i}.wav", 16_000, tone.astype(np.float32))
        rows.append(f"{i}.wav,{('a low hum goes on', 'a shrill whistle blows')[i % 2]}")
    (home / "sounds.csv").write_text("\n".join(rows))
    (home / "texts.txt").write_text("\n".join(["a low hum goes on", "a shrill whistle blows", "steam hisses"] * 6))
    quick = {"epochs": 2, "pretrain": 1, "width": 16, "layers": 1, "heads": 2, "length": 2, "least_count": 1}
    job.learn(home / "texts.txt", pairs=home / "sounds.csv", settings=quick).save(home / "captioner")
    return home / "captioner", Captioner.load


def tagger(home: Path) -> Kind:
    from unseen.jobs.tagging import job
    from unseen.jobs.tagging.tagger import Tagger

    lines = ["because O", "the O", "risk B-Premise", "rises I-Premise", ". O", ""] * 12
    (home / "train.conll").write_text("\n".join(lines))
    job.train(home / "train.conll", settings={"iterations": 20, "least_count": 1}).tagger.save(home / "tagger")
    return home / "tagger", Tagger.load


def wave(n: int, channels: int) -> Domain:
    """Hours of a series with the season of a day."""
    import pandas as pd

    from unseen.data.series import read_series

    x = np.sin(np.arange(n)[:, None] / 24 * 2 * np.pi + np.arange(channels))
    noisy = x + 0.1 * np.random.default_rng(0).normal(size=x.shape)
    times = pd.date_range("2024-01-01", periods=n, freq="h", name="time")
    return read_series(pd.DataFrame(noisy, index=times, columns=[f"y{i}" for i in range(channels)]))


SMALL_TTM: dict[str, Any] = {
    "context": 64, "horizon": 16, "patch": 8, "width": 16, "levels": 1, "decoder_width": 8, "shortest": 16,
    "epochs": 1, "steps": 5, "batch_size": 16,
}  # fmt: skip


def forecaster(home: Path) -> Kind:
    from unseen.jobs.forecasting.job import forecast
    from unseen.jobs.forecasting.model import ForecastModel
    from unseen.methods.forecasting.ttm import TTM

    model = TTM(**SMALL_TTM).fit(series=wave(400, 1))
    forecast(wave(300, 1), horizon=4, model=model, method="ttm").model.save(home / "forecaster")
    return home / "forecaster", ForecastModel.load


def matcher(home: Path) -> Kind:
    from unseen.jobs.matching.job import make

    method = make("xfeat", points=64)
    method.save(home / "matcher")
    return home / "matcher", type(method).load
