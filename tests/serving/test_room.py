"""Small files that decode to much: what they take in memory together is bounded, and given back."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi", reason='serving needs: pip install "unseen[serve]"')

import torch
from fastapi.testclient import TestClient
from PIL import Image
from starlette.exceptions import HTTPException

from saved_kinds import segmenter
from unseen import jobs
from unseen.data.sounds import Sound, wav_bytes
from unseen.serving import sounds
from unseen.serving.app import create_app
from unseen.serving.limits import Limits
from unseen.serving.room import Room, size_of
from unseen.serving.rows import ServedRows
from unseen.serving.turns import Busy


class Pictures:
    """Answers how wide pictures are."""

    def __init__(self) -> None:
        self.decoded = 0
        self.go = threading.Event()
        self.go.set()

    def served(self) -> ServedRows:
        def prepared(picture: Any) -> Any:
            self.decoded += 1
            return picture

        def ask(pictures: Any, _: int) -> list[list[dict[str, Any]]]:
            assert self.go.wait(30)
            return [[{"answer": str(picture.width)}] for picture in pictures]

        return ServedRows(ask, "image", "a ruler", "widths", max_pixels=10**7, prepared=prepared)


def sent(picture: Any, n: int) -> list[Any]:
    return [("samples", ("x.png", picture(size=(1000, 1000)), "image/png"))] * n


def test_one_request_that_decodes_to_too_much_is_refused_and_decoded_no_further(picture: Any) -> None:
    model = Pictures()
    app = create_app(model.served(), limits=Limits(decoded=10_000_000, batch=60))
    with TestClient(app, base_url="http://localhost") as client:
        refused = client.post("/predict", files=sent(picture, 60))
        assert (refused.status_code, refused.json()) == (
            413, {"detail": "the samples may take at most 10,000,000 bytes once they are decoded; send fewer at once"},
        )  # fmt: skip
        assert model.decoded < 60
        for _ in range(3):  # all is given back
            assert client.post("/predict", files=sent(picture, 3)).json()["answers"] == [[{"answer": "1000"}]] * 3


def test_requests_that_decode_to_too_much_together_are_busy(picture: Any) -> None:
    model = Pictures()
    app = create_app(model.served(), limits=Limits(decoded=10_000_000, wait=0))
    with TestClient(app, base_url="http://localhost") as client, ThreadPoolExecutor(1) as threads:
        model.go.clear()
        first = threads.submit(client.post, "/predict", files=sent(picture, 2))
        while model.decoded < 2:
            pass
        busy = client.post("/predict", files=sent(picture, 2))
        assert (busy.status_code, busy.headers["retry-after"]) == (503, "1")
        model.go.set()
        assert first.result().status_code == 200
        assert client.post("/predict", files=sent(picture, 2)).status_code == 200


def test_what_comes_after_its_request_has_ended_is_not_counted() -> None:
    room = Room(100)
    with room.request() as held:
        held.prepared(len, "a text")
        held.prepared(str, "a text")
        assert room.taken == 6
        with pytest.raises(HTTPException, match="at most 100 bytes"):
            held.prepared(str, "a" * 95)
        with pytest.raises(HTTPException):
            held.prepared(str, "")
    held.refused = None
    held.prepared(str, "later")
    assert room.taken == 0
    with room.request() as one, room.request() as other:
        one.prepared(str, "a" * 60)
        with pytest.raises(Busy):
            other.prepared(str, "a" * 60)


@pytest.mark.parametrize(
    ("sample", "n"),
    [
        (np.zeros((2, 3), np.float32), 24),
        (torch.zeros(2, 3), 24),
        (Image.new("RGB", (4, 5)), 60),
        (Sound(np.zeros(8, np.float32), 8, 1.0), 32),
        ("text", 4),
        ((Image.new("L", (4, 5)), (4, 5)), 20),
        (None, 0),
    ],
)
def test_what_a_sample_takes(sample: Any, n: int) -> None:
    assert size_of(sample) == n


def test_a_picture_to_segment_waits_as_small_as_it_is_read(tmp_path: Path) -> None:
    folder, _ = segmenter(tmp_path)
    kind, place = jobs.saved_model(folder) or pytest.fail("it is not known")
    served = ServedRows.of(kind, place, max_pixels=10**7)
    Image.new("RGB", (1000, 500)).save(tmp_path / "x.png")
    ready = served.prepare((tmp_path / "x.png").read_bytes())
    assert size_of(ready) <= 3 * 32 * 32
    assert (ready.width, ready.height) == (1000, 500)


def test_a_sound_of_more_values_than_a_server_decodes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    content = wav_bytes(np.sin(np.arange(4000) / 5).astype(np.float32), 8000)
    monkeypatch.setattr(sounds, "MOST_VALUES", 3999)
    with pytest.raises(ValueError, match="holds 4,000 values in each of 1 channels, more than 3,999 in all"):
        sounds.open_sound(content)
