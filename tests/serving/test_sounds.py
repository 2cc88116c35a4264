"""Models of sounds over HTTP: files in a form or in base64, an example that works, and what is refused."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="serving needs `pip install unseen[serve]`")

from fastapi.testclient import TestClient

import unseen
from tones import write_sound
from unseen.bundle import Bundle
from unseen.data.loaders import load
from unseen.data.sounds import wav_bytes
from unseen.serving.app import create_app
from unseen.serving.limits import Limits
from unseen.serving.model import Served
from unseen.serving.sounds import example, open_sound
from unseen.web.trial import Models


def test_a_sound_of_a_request_is_that_of_the_file(tmp_path: Path) -> None:
    file = write_sound(tmp_path / "a.wav")
    np.testing.assert_array_equal(open_sound(file.read_bytes()).wave, load(file).x[0].wave)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "^is empty$"),
        (b"import sys", "^is no sound that can be read$"),
        (wav_bytes(np.ones(8000, np.float32), 8000)[:30], "^is cut off or damaged, and no sound that can be read$"),
        (b"fLaC" + b"\0" * 40, "^is cut off or damaged, and no sound that can be read$"),
        (b"RIFF\0\0\0\0WAVEfmt ", "^is damaged, and no sound that can be read$"),
        (wav_bytes(np.zeros(8000, np.float32), 8000), "is silence"),
        (wav_bytes(np.ones(8, np.float32), 8000), "too short"),
        (wav_bytes(np.zeros(601_000, np.float32), 1000), "at most 10:00 min"),
    ],
)
def test_what_is_no_sound_is_named(content: bytes, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        open_sound(content)


def test_sounds_are_named_as_predict_names_them(tmp_path: Path) -> None:
    for i in range(12):
        write_sound(tmp_path / "tones" / ("low", "high")[i % 2] / f"{i}.wav", (300, 900)[i % 2] + i)
    source = load(tmp_path / "tones")
    model = tmp_path / "model"
    unseen.adapt(method="prototypes", source=source, support=source, out=model)
    bundle = Bundle.load(model)
    served = Served(bundle, max_pixels=1)
    served.warm()
    table = bundle.predictions(source, top=2)
    assert source.ids is not None
    files = [(tmp_path / "tones" / str(name)).read_bytes() for name in source.ids[4:8]]
    with TestClient(create_app(served), base_url="http://localhost") as client:
        form = [("samples", (f"{i}.wav", content, "audio/wav")) for i, content in enumerate(files)]
        answers = client.post("/predict?top=2", files=form).json()["predictions"]
        assert [one["class"] for one in answers] == list(table["class"][4:8]) == ["high", "high", "low", "low"]
        assert [one["probability"] for one in answers] == pytest.approx(list(table["probability"][4:8]), abs=1e-4)
        coded = {"samples": [base64.b64encode(files[0]).decode()]}
        assert client.post("/predict?top=2", json=coded).json()["predictions"] == answers[:1]
        shown = client.get("/example.wav")
        assert shown.headers["content-type"] == "audio/wav"
        assert shown.content == example()
        told = client.post("/predict", files={"samples": ("x.wav", io.BytesIO(shown.content))})
        assert told.status_code == 200
        wrong = client.post("/predict", files={"samples": ("x.wav", b"RIFF    WAVE no sound")})
        assert (wrong.status_code, "and no sound that can be read" in wrong.json()["detail"]) == (422, True)
        wrong = client.post("/predict", json={"samples": ["?"]})
        assert "is no base64 of a sound" in wrong.json()["detail"]
        page = client.get("/").text
        assert "The model reads sounds" in page
        assert "example.wav | curl" in page
        assert 'accept="audio/*"' in page
    tried = Models(limits=Limits()).answer(model, files[0])
    assert tried.name == table["class"][4]
