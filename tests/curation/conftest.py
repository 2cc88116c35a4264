"""What the tests of pipelines share: a tiny two-tower encoder, a small web of drawings, its server."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from torch import nn

from unseen.claims.small_web import Grams, GramText
from unseen.curation.fetch import Politeness
from unseen.curation.settings import Settings
from unseen.data.simulate.web import BLOCKED_HOST, LARGEST, SmallWeb, Thing, crawl, serve, small_web
from unseen.encoders.base import Encoder
from unseen.encoders.two_tower import TwoTowerEncoder
from unseen.encoders.vision import ImagePreprocess


@functools.cache
def tiny_towers(seed: int = 0) -> TwoTowerEncoder:
    """Random towers into 64 dimensions: quick, deterministic, of no use."""
    torch.manual_seed(seed)
    network = nn.Sequential(nn.AdaptiveAvgPool2d(6), nn.Flatten(), nn.Linear(108, 64))
    preprocess = ImagePreprocess(size=(24, 24), crop=1.0, mean=(0.5,) * 3, std=(0.5,) * 3)
    return TwoTowerEncoder(
        name=f"tiny{seed}",
        image=Encoder(name="tiny", module=network, preprocess=preprocess, precision="fp32"),
        text=Encoder(name="tiny", module=GramText(), preprocess=Grams(), precision="fp32"),
        logit_scale=10.0,
        template=lambda name, description: name,
    )


def drawings(n: int, seed: int = 0) -> list[Thing]:
    """Pictures of coloured shapes with captions in two languages."""
    rng = np.random.default_rng(seed)
    found = []
    for i in range(n):
        image = Image.new("RGB", (96, 96), "white")
        draw = ImageDraw.Draw(image)
        for _ in range(5):
            a = rng.integers(0, 60, 2)
            draw.ellipse([*a, *(a + rng.integers(20, 40, 2))], fill=tuple(int(v) for v in rng.integers(0, 200, 3)))
        captions = {"en": f"a drawing of five shapes, number {i}", "de": f"eine Zeichnung mit Formen, Nummer {i}"}
        found.append(Thing(f"t{i}", image, captions))
    return found


class Served(NamedTuple):
    """A small web with its address and a crawl of it."""

    web: SmallWeb
    address: str
    crawl: Path

    def settings(self, **more: Any) -> Settings:
        """Settings that let the local server be asked and keep all pairs."""
        polite = Politeness(
            allowed_hosts=(self.address[len("http://") :],), blocked_hosts=(BLOCKED_HOST,), max_bytes=LARGEST, retries=0
        )
        return Settings(**{"polite": polite, "bloom_error": 1e-9, "threshold": -1.0, "shard_size": 25, **more})


@pytest.fixture(scope="session")
def towers() -> TwoTowerEncoder:
    return tiny_towers()


@pytest.fixture(scope="session")
def other_towers() -> TwoTowerEncoder:
    return tiny_towers(1)


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A web of 20 pages, 60 pictures and two links of every fault."""
    web = small_web(drawings(60), n_pages=20, each_fault=2)
    file = tmp_path_factory.mktemp("crawl") / "crawl.warc.gz"
    with serve(web) as address:
        crawl(address, web, file)
        yield Served(web, address, file)
