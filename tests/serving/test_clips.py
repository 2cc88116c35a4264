"""Models of videos over HTTP: files in a form or in base64, an example that works, and what is refused."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="serving needs `pip install unseen[serve]`")
pytest.importorskip("av", reason="videos need `pip install unseen[video]`")

from fastapi.testclient import TestClient

import unseen
from small_towers import saved_towers
from unseen import methods
from unseen.bundle import Bundle
from unseen.data.loaders import load
from unseen.serving.app import create_app
from unseen.serving.clips import example, open_clip
from unseen.serving.model import Served
from unseen.serving.page import write_page
from unseen.web.trial import Models
from videos import numbers, write_video

PIXELS = 1_000_000


def test_frames_are_those_that_a_file_is_read_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNSEEN_CACHE", str(tmp_path / "cache"))
    file = write_video(tmp_path / "a.mp4", 10)
    read = load(file, frames=5).x[0]
    assert np.array_equal(open_clip(Path(file).read_bytes(), 5, PIXELS), read)
    assert numbers(read) == [1, 3, 5, 7, 9]


def test_what_is_no_video_is_told_without_a_word_of_the_machine(tmp_path: Path) -> None:
    content = Path(write_video(tmp_path / "a.mp4", 10)).read_bytes()
    for wrong in (b"", b"nothing", content[:200], content[: len(content) // 2]):
        with pytest.raises(ValueError, match="is no video that can be read: ") as told:
            open_clip(wrong, 4, PIXELS)
        assert str(tmp_path) not in str(told.value)
    one = Path(write_video(tmp_path / "one.mp4", 1)).read_bytes()
    with pytest.raises(ValueError, match="is no video that can be read: the video has one frame"):
        open_clip(one, 4, PIXELS)
    with pytest.raises(ValueError, match="24 x 16 pixels"):
        open_clip(content, 4, 100)


def test_a_small_video_of_endless_large_frames_is_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_video(tmp_path / "a.mp4", 300, gop=1000, size=(64, 64)).read_bytes()
    monkeypatch.setattr("unseen.serving.clips.MOST_WORK", 300 << 14)
    assert open_clip(file, 16, PIXELS).shape == (16, 3, 64, 64)
    monkeypatch.setattr("unseen.serving.clips.MOST_WORK", 100 << 14)
    with pytest.raises(ValueError, match=r"^is no video .*: more than 1,638,400 pixels would have to be decoded"):
        open_clip(file, 16, PIXELS)


def test_frames_of_a_video_take_no_more_memory_than_they_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = write_video(tmp_path / "a.mp4", 10, size=(16, 2048)).read_bytes()
    assert open_clip(long, 16, PIXELS).shape == (16, 3, 16, 2048)
    monkeypatch.setattr("unseen.serving.clips.MOST_BYTES", 1 << 20)
    with pytest.raises(ValueError, match="16 frames of 2048 x 16 pixels are more than 1,048,576 bytes"):
        open_clip(long, 16, PIXELS)


@pytest.fixture(scope="module", params=["x-clip", "prototypes"])
def model(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that learnt from clips themselves, and one that learnt from features of their frames."""
    folder = tmp_path_factory.mktemp("clips")
    for i in range(8):
        write_video(folder / "gym" / "ab"[i % 2] / f"{i}.mp4", 10 + 3 * i, rate=10)
    given: dict[str, Any] = {"source": folder / "gym", "encoder": saved_towers(folder), "refit": False}
    settings = dict(methods.card("x-clip").smoke) | {"batch_size": 4} if request.param == "x-clip" else {}
    if request.param != "x-clip":
        given |= {"support": given["source"]}
    unseen.adapt(method=request.param, settings=settings, out=folder / "model", **given)  # type: ignore[attr-defined]
    return folder / "model"


def test_videos_are_named_as_predict_names_them(model: Path) -> None:
    bundle = Bundle.load(model)
    served = Served(bundle, max_pixels=PIXELS)
    served.warm()
    clips = load(model.parent / "gym")
    table = bundle.predictions(clips, top=2)
    assert clips.ids is not None
    files = [(model.parent / "gym" / str(name)).read_bytes() for name in clips.ids[:3]]
    with TestClient(create_app(served), base_url="http://localhost") as client:
        form = [("samples", (f"{i}.mp4", content, "video/mp4")) for i, content in enumerate(files)]
        answers = client.post("/predict?top=2", files=form).json()["predictions"]
        assert [one["class"] for one in answers] == list(table["class"][:3])
        assert [one["probability"] for one in answers] == pytest.approx(list(table["probability"][:3]), abs=1e-4)
        coded = {"samples": [base64.b64encode(files[0]).decode()]}
        assert client.post("/predict?top=2", json=coded).json()["predictions"] == answers[:1]
        shown = client.get("/example.mp4")
        assert shown.headers["content-type"] == "video/mp4"
        assert shown.content == example()
        told = client.post("/predict", files={"samples": ("x.mp4", io.BytesIO(shown.content))})
        assert told.status_code == 200
        wrong = client.post("/predict", files={"samples": ("x.mp4", b"no video")})
        assert (wrong.status_code, "sample 0 is no video" in wrong.json()["detail"]) == (422, True)
        page = client.get("/").text
        assert "The model reads videos" in page
        assert "example.mp4 | curl" in page
        assert 'accept="video/*"' in page
    with pytest.raises(ValueError, match="reads pictures; this one reads videos"):
        write_page(bundle, model.parent / "page.html")
    if bundle.whole:
        with pytest.raises(ValueError, match="a model of x-clip has no ONNX"):
            bundle.export(model.parent / "out.onnx")
    else:
        assert bundle.export(model.parent / "out.onnx") < 1e-3
    tried = Models(limits=limits()).answer(model, files[0])
    assert tried.name == table["class"][0]


def limits() -> Any:
    from unseen.serving.limits import Limits

    return Limits()
