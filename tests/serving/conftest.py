"""Small models to serve: of feature vectors, and of pictures through a network of random weights."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from unseen.bundle import Bundle
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.typing import Kind
from unseen.encoders.base import Encoder
from unseen.encoders.vision import ImagePreprocess
from unseen.methods import get
from unseen.serving.limits import Limits
from unseen.serving.model import Served

CLASSES = ClassSpace(names=("ant", "bee", "<b>猫</b>"))


def fitted(x: np.ndarray, y: np.ndarray) -> Any:
    return get("source-only")().fit(source=Domain(x=x.astype("float32"), y=y, classes=CLASSES))


@pytest.fixture(scope="session")
def vectors() -> Bundle:
    """A model of 4 features and 3 classes."""
    rng = np.random.default_rng(0)
    y = np.arange(60) % 3
    return Bundle(method=fitted(np.eye(4)[y] * 4 + rng.normal(size=(60, 4)), y), classes=CLASSES, threshold=0.9)


@pytest.fixture(scope="session")
def pictures() -> Bundle:
    """A model of pictures, whose three classes are red, green and blue."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    preprocess = ImagePreprocess(size=(12, 12), mean=(0.5,) * 3, std=(0.5,) * 3)
    encoder = Encoder(name="tiny", module=network, preprocess=preprocess, batch_size=8, precision="fp32")
    x = np.array([np.full((16, 14, 3), 255 * np.eye(3)[i % 3]) for i in range(30)], dtype=np.uint8)
    features = encoder.encode(Domain(x=x, kind="image"), cache=False).x
    y = np.arange(30) % 3
    return Bundle(method=fitted(features, y), classes=CLASSES, encoder=encoder)


class Letters:
    """A text as how often it has the letters a, b and c."""

    kind: Kind = "text"

    def __call__(self, samples: Sequence[Any]) -> torch.Tensor:
        return torch.tensor([[float(str(text).count(letter)) for letter in "abc"] for text in samples])

    def groups(self, samples: Any) -> Any:
        return np.zeros(len(samples), dtype=np.int64)

    def to_json(self) -> dict[str, Any]:
        return {}


@pytest.fixture(scope="session")
def texts() -> Bundle:
    """A model of texts, whose three classes are their most frequent letter."""
    encoder = Encoder(name="letters", module=nn.Identity(), preprocess=Letters(), batch_size=4, precision="fp32")
    return Bundle(method=fitted(np.eye(3)[np.arange(30) % 3] * 3, np.arange(30) % 3), classes=CLASSES, encoder=encoder)


@pytest.fixture(scope="session")
def picture() -> Callable[..., bytes]:
    """Makes the file of a picture of one colour."""

    def make(
        colour: Any = (255, 0, 0), size: tuple[int, int] = (20, 30), format: str = "PNG", mode: str = "RGB"
    ) -> bytes:
        out = io.BytesIO()
        Image.new(mode, size, colour).save(out, format)
        return out.getvalue()

    return make


@pytest.fixture
def client() -> Iterator[Callable[..., Any]]:
    """Starts the application of a model, without a network."""
    from fastapi.testclient import TestClient

    from unseen.serving.app import create_app

    started: list[Any] = []

    def start(bundle: Bundle, token: str | None = None, host: str = "localhost", **limits: Any) -> Any:
        chosen = Limits(**limits)
        app = create_app(Served(bundle, max_pixels=chosen.pixels), limits=chosen, token=token)
        test = TestClient(app, base_url=f"http://{host}", raise_server_exceptions=False)
        started.append(test.__enter__())
        return test

    yield start
    for test in started:
        test.__exit__(None, None, None)
