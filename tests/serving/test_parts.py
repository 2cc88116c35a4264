"""Limits, access, pictures of strangers, and the model that answers."""

from __future__ import annotations

import base64
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from unseen.bundle import Bundle
from unseen.data.domain import Domain
from unseen.serving.access import allowed, check_access, is_loopback
from unseen.serving.limits import Limits
from unseen.serving.model import Served
from unseen.serving.pictures import open_picture


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"bytes": 0}, "bytes must be at least 1; got 0"),
        ({"pixels": -1}, "pixels must be at least 1; got -1"),
        ({"batch": 300}, "queue must be at least batch, 300; got 256"),
        ({"wait": 2.0}, r"wait must lie in \[0, 1\]"),
        ({"wait": float("nan")}, r"wait must lie in \[0, 1\]"),
        ({"seconds": 0.0}, "seconds must be positive"),
    ],
)
def test_limits_outside_their_range_are_refused(wrong: dict[str, float], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Limits(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "[::1]", "localhost"])
def test_this_machine_needs_no_token(host: str) -> None:
    assert is_loopback(host)
    check_access(host, None)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "example.org", "localhost.example.org", ""])
def test_any_other_address_needs_a_token(host: str) -> None:
    with pytest.raises(ValueError, match="token is needed: set UNSEEN_TOKEN"):
        check_access(host, None)
    check_access(host, "x" * 16)


@pytest.mark.parametrize("token", ["", "short", "é" * 20, "a\nb" * 10])
def test_a_token_that_can_be_guessed_or_not_sent_is_refused(token: str) -> None:
    with pytest.raises(ValueError, match="at least 16 printable ASCII") as caught:
        check_access("127.0.0.1", token)
    assert not token or token not in str(caught.value)


def test_only_the_token_is_let_in() -> None:
    token = "0123456789abcdef"
    assert allowed(f"Bearer {token}", token)
    assert allowed(f"bearer  {token} ", token)
    for wrong in (None, "", token, f"Basic {token}", f"Bearer {token}0", "Bearer", "Bearer é"):
        assert not allowed(wrong, token)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF"])
def test_usual_formats_are_read(picture: Callable[..., bytes], format: str) -> None:
    assert open_picture(picture(size=(5, 4), format=format), 20).size == (5, 4)


def test_what_is_no_picture_or_too_large_is_refused_without_a_word_of_the_machine(
    picture: Callable[..., bytes],
) -> None:
    for content in (b"", b"hello", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n", picture(format="PPM")):
        with pytest.raises(ValueError, match=r"^is no picture in JPEG, .* HEIC$"):
            open_picture(content, 1000)
    for content in (picture(size=(40, 26)), picture()[:60], b"\x89PNG\r\n\x1a\n" + bytes(40), b"0000ftypheic"):
        with pytest.raises(ValueError, match=r"^is a damaged picture, or one of more than 1,000 pixels$") as caught:
            open_picture(content, 1000)
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_answers_are_those_of_the_bundle(pictures: Bundle) -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (11, 24, 18, 3), dtype=np.uint8)
    expected = pictures.predict(Domain(x=x, kind="image"), top=3, cache=False)
    served = Served(pictures, max_pixels=10**6)
    assert served.preprocess is not None
    ready = [served.preprocess([image]) for image in x]
    for n in (1, 3, 8, 11):
        answers = served.predict(ready[:n], top=3)
        assert [a.name for a in answers] == expected["class"][:n].tolist()
        assert [a.unknown for a in answers] == expected["unknown"][:n].tolist()
        np.testing.assert_allclose([a.probability for a in answers], expected["probability"][:n], atol=2e-6)
        np.testing.assert_allclose(
            [[p for _, p in a.top] for a in answers], expected.filter(regex=r"probability_\d").to_numpy()[:n], atol=2e-6
        )
        assert [a.top[2][0] for a in answers] == expected["class_3"][:n].tolist()


def test_threads_beside_each_other_get_the_answers_of_one(pictures: Bundle) -> None:
    x = np.random.default_rng(0).integers(0, 256, (24, 24, 18, 3), dtype=np.uint8)
    served = Served(pictures, max_pixels=10**6)
    assert served.preprocess is not None
    ready = [served.preprocess([image]) for image in x]
    parts = [slice(0, 1), slice(1, 9), slice(9, 12), slice(12, 24)] * 8
    alone = [[a.name for a in served.predict(ready[part])] for part in parts]
    with ThreadPoolExecutor(4, initializer=served.begin) as pool:
        beside = list(pool.map(lambda part: [a.name for a in served.predict(ready[part])], parts))
    torch.set_num_threads(torch.get_num_threads())
    assert beside == alone


def test_serving_leaves_no_features_on_disk_and_the_bundle_as_it_was(
    pictures: Bundle, picture: Callable[..., bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNSEEN_CACHE", str(tmp_path))
    served = Served(pictures, max_pixels=1000)
    served.warm()
    (answer,) = served.predict([served.prepare(picture((0, 0, 255)))])
    assert answer.name == "<b>猫</b>"
    assert [p for p in tmp_path.rglob("*") if "features" in p.parts] == []
    assert pictures.encoder is not None
    assert pictures.encoder.batch_size == 8
    assert isinstance(pictures.encoder.preprocess, type(served.preprocess))


def test_base64_and_bytes_are_the_same_picture(pictures: Bundle, picture: Callable[..., bytes]) -> None:
    served = Served(pictures, max_pixels=1000)
    assert served.prepare(picture()).equal(served.prepare(base64.b64encode(picture()).decode()))
    with pytest.raises(ValueError, match=r"^is no base64 of a picture$"):
        served.prepare("%%%")


def test_vectors_must_be_finite_in_float32(vectors: Bundle) -> None:
    served = Served(vectors, max_pixels=1)
    assert served.width == 4
    assert served.predict([served.prepare([4, 0, 0, 0])])[0].name == "ant"
    with pytest.raises(ValueError, match="no finite float32"):
        served.prepare([1e39, 0, 0, 0])
