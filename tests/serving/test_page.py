"""Offline pages: what they hold, what it refuses, and that a browser answers as the library does."""

from __future__ import annotations

import base64
import dataclasses
import gzip
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import unseen
from unseen.bundle import Bundle
from unseen.cli import app
from unseen.data.classes import ClassSpace
from unseen.data.sources import SourceUnavailable, npm
from unseen.jobs.segmentation.model import SegmentModel, Unadapted
from unseen.methods import get
from unseen.nn.information import normalized_entropy
from unseen.nn.segmenters import small_unet
from unseen.serving import page
from unseen.serving.model import Served

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def no_npm(monkeypatch: pytest.MonkeyPatch) -> None:
    """The runtime's files without the registry."""

    def fetch(package: str, pin: Mapping[str, Any], *, instead: str) -> Path:
        assert (package, len(pin["sha256"])) == ("onnxruntime-web", 64)
        return Path("archive.tgz")

    def read(archive: Path, wanted: Sequence[str]) -> dict[str, bytes]:
        return {name: f"content of {name}".encode() for name in wanted}

    monkeypatch.setattr(page, "fetch", fetch)
    monkeypatch.setattr(page, "read_files", read)


def held(text: str, name: str) -> bytes:
    found = re.search(rf'<script type="text/plain" id="{name}">([^<]*)</script>', text)
    assert found is not None
    return gzip.decompress(base64.b64decode(found[1]))


def test_only_a_calibrated_model_is_said_to_be(pictures: Bundle) -> None:
    calibrated = dataclasses.replace(pictures, temperature=1.3, threshold=0.8)
    assert not page._calibrated(pictures)
    assert page._calibrated(calibrated)
    assert not page._calibrated(dataclasses.replace(calibrated, method=get("dfq")()))


@pytest.mark.slow
def test_the_page_holds_all_that_it_needs_and_names_from_data_are_no_code(
    pictures: Bundle, no_npm: None, tmp_path: Path
) -> None:
    import onnxruntime

    evil = dataclasses.replace(pictures, credits=("</script><script>alert(1)</script>",))
    text = page.write_page(evil, tmp_path / "new" / "page.html").read_text()
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["page.html"]
    assert held(text, "runtime") == b"content of dist/ort.wasm.bundle.min.mjs"
    assert held(text, "program") == b"content of dist/ort-wasm-simd-threaded.wasm"
    assert onnxruntime.InferenceSession(held(text, "model")).get_outputs()[0].name == "probabilities"
    told = re.search(r'<script type="application/json" id="about">(.*?)</script>', text)
    assert told is not None
    about = json.loads(told[1])
    assert "calibrated" not in text.partition("<footer>")[2].partition("</footer>")[0]
    assert about["classes"] == ["ant", "bee", "<b>猫</b>"]
    assert about["preprocess"]["size"] == [12, 12]
    assert (about["temperature"], about["threshold"], about["reject"]) == (1.0, 1.0, None)
    assert "<b>猫" not in text
    assert "<script>alert" not in text
    assert text.count("<script") == 5
    assert re.findall(r"(?:src|href)=\"?(https?:[^\" >]+)", text) == []
    assert "default-src &#39;none&#39;" in text


def test_models_of_other_things_are_refused_before_any_work(vectors: Bundle, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs a model that reads pictures; this one reads vectors of numbers"):
        page.write_page(vectors, tmp_path / "page.html")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_command_line_says_what_it_needs(vectors: Bundle, tmp_path: Path) -> None:
    model = str(vectors.save(tmp_path / "model"))
    for more, told in (
        ([], "name --out FILE.onnx, --web FILE.html or both"),
        (["--web", "p.html"], "this one reads vectors of numbers"),
    ):
        order = [sys.executable, "-m", "unseen.cli", "export", model, *more]
        done = subprocess.run(order, capture_output=True, text=True, cwd=tmp_path)
        assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr
        assert told in done.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["model"]


def test_a_page_that_cannot_be_written_leaves_the_old_one(
    pictures: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNSEEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(npm.shutil, "which", lambda _: None)
    (tmp_path / "page.html").write_text("old")
    with pytest.raises(SourceUnavailable, match="needs npm, which is not installed: install it, or write ONNX"):
        page.write_page(pictures, tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text() == "old"


@pytest.mark.slow
def test_a_network_too_large_for_a_browser_is_refused(
    pictures: Bundle, no_npm: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "LARGEST", 1000)
    with pytest.raises(ValueError, match="a page holds at most"):
        page.write_page(pictures, tmp_path / "page.html")
    assert list(tmp_path.iterdir()) == []


def test_the_rule_of_a_method_that_rejects_goes_along() -> None:
    assert page._rejection(get("glc")(threshold=0.4)) == 0.4
    assert page._rejection(get("glc")(reject=False)) is None
    assert page._rejection(get("coral")()) is None


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved network that segments, of random weights that give two classes."""
    torch.manual_seed(4)
    network = small_unet(3)
    torch.nn.init.normal_(network.head.weight)  # nearly equal scores would be told apart by rounding
    classes = ClassSpace(names=("sky", "sea", "<b>海</b>"))
    return SegmentModel(Unadapted().fit(model=network), classes, 48).save(tmp_path_factory.mktemp("masks") / "model")


@pytest.mark.slow
def test_a_page_of_masks_holds_network_classes_and_colours(segmenter: Path, no_npm: None, tmp_path: Path) -> None:
    import onnxruntime

    from unseen.report.tasks.mask import colour_of

    file = tmp_path / "page.html"
    done = CliRunner().invoke(app, ["export", str(segmenter), "--web", str(file), "--out", str(tmp_path / "m.onnx")])
    assert done.exit_code == 0, done.output
    text = file.read_text()
    session = onnxruntime.InferenceSession(held(text, "model"))
    assert session.run(None, {"x": np.zeros((1, 3, 40, 24), np.float32)})[0].shape == (1, 3, 40, 24)
    told = re.search(r'<script type="application/json" id="about">(.*?)</script>', text)
    assert told is not None
    about = json.loads(told[1])
    assert about["classes"] == ["sky", "sea", "<b>海</b>"]
    assert about["colours"] == [list(colour_of(i)) for i in range(3)]
    assert about["size"] == 48
    assert "<b>海" not in text
    assert "Every pixel one of 3 classes" in text
    refused = CliRunner().invoke(app, ["export", str(segmenter), "--web", str(file), "--integers"])
    assert "written by --out FILE.onnx and --web FILE.html, in floats" in str(refused.exception)


# -- in a browser --------------------------------------------------------------------------------------------------

in_browser = [pytest.mark.browser, pytest.mark.slow]


def call(*arguments: str) -> str:
    order = [sys.executable, "-m", "unseen.cli", *arguments]
    done = subprocess.run(order, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    if "npm" in done.stderr and done.returncode:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of drawn things (`model`), its page (`page.html`), and pictures of all sorts (`new`)."""
    sys.path.insert(0, str(ROOT / "tests" / "whole"))
    import drawings

    folder = tmp_path_factory.mktemp("page")
    photos, _ = drawings.make_folders(folder, per_class=6)
    unseen.adapt(method="source-only", source=str(photos), precision="fp32", out=folder / "model")
    new, rng = folder / "new", np.random.default_rng(5)
    new.mkdir()
    photo = drawings.photo("star", rng, size=400)
    photo.save(new / "plain.png")
    photo.crop((0, 90, 400, 310)).save(new / "wide.jpg", quality=92)
    photo.crop((110, 0, 290, 400)).resize((61, 137)).save(new / "small and tall.webp", lossless=True)
    drawings.sketch("moon", rng).save(new / "transparent.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    drawings.photo("arrow", rng).save(new / "turned.jpg", exif=exif, quality=95)
    Image.fromarray(rng.integers(0, 256, (90, 120), dtype=np.uint8)).save(new / "noise.png")
    photo.convert("P", palette=Image.Palette.ADAPTIVE).save(new / "palette.png", transparency=3)
    photo.convert("LA").save(new / "grey.png")
    photo.convert("CMYK").save(new / "cmyk.jpg", quality=95)
    told_apart(folder / "model", new).save(folder / "model")
    call("export", str(folder / "model"), "--web", str(folder / "page.html"))
    return folder


def told_apart(model: Path, pictures: Path) -> Bundle:
    """The model whose threshold lies in the widest gap of how sure it is of the pictures: on every machine some are
    known and some are not, none by a hair."""
    bundle = Bundle.load(model)
    doubt = np.sort(normalized_entropy(bundle.predict_proba(unseen.load(pictures))).numpy())
    gap = int(np.diff(doubt).argmax())
    return dataclasses.replace(bundle, threshold=float(doubt[gap : gap + 2].mean()))


@pytest.fixture(scope="module")
def tab(browser: Any, folder: Path) -> Iterator[Any]:
    """The page in a browser without a network; at the end it must have asked for nothing and complained of nothing."""
    yield from opened_alone(browser, folder)


@pytest.fixture(scope="module")
def masks_tab(browser: Any, segmenter: Path) -> Iterator[Any]:
    """The page of a network that segments, in the same way."""
    call("export", str(segmenter), "--web", str(segmenter.parent / "page.html"))
    yield from opened_alone(browser, segmenter.parent)


def opened_alone(browser: Any, folder: Path) -> Iterator[Any]:
    context = browser.new_context(offline=True)
    tab = context.new_page()
    said: list[str] = []
    asked: list[str] = []
    tab.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto((folder / "page.html").as_uri())
    tab.wait_for_selector("#status:not(:has-text('Preparing'))", state="attached", timeout=60_000)
    yield tab
    assert said == []
    assert [url for url in asked if not url.startswith("blob:")] == [(folder / "page.html").as_uri()]
    context.close()


def drop(tab: Any, file: Path) -> None:
    """Drop a picture on the page, as dropped.png."""
    tab.evaluate(
        """content => {
            const bytes = Uint8Array.from(atob(content), c => c.charCodeAt(0));
            const data = new DataTransfer();
            data.items.add(new File([bytes], "dropped.png", { type: "image/png" }));
            const told = { dataTransfer: data, bubbles: true, cancelable: true };
            document.body.dispatchEvent(new DragEvent("drop", told));
        }""",
        base64.b64encode(file.read_bytes()).decode(),
    )


class TestInBrowser:
    pytestmark = in_browser

    def test_a_picture_that_comes_while_the_network_is_prepared_waits_for_it(self, tab: Any, folder: Path) -> None:
        early = tab.context.new_page()
        early.goto((folder / "page.html").as_uri(), wait_until="domcontentloaded")
        drop(early, folder / "new" / "plain.png")
        told = early.locator("#hint, #status").all_inner_texts()
        early.wait_for_selector("#answers li", timeout=60_000)
        assert told == ["dropped.png", "Preparing the network …"]
        assert early.locator("#status").inner_text() == ""
        early.close()

    def test_it_answers_as_the_command_line_does(self, tab: Any, folder: Path) -> None:
        rows = json.loads(call("predict", str(folder / "model"), str(folder / "new"), "--top", "5", "--json"))
        assert len(rows) == 9
        assert {row["unknown"] for row in rows} == {True, False}
        for row in rows:
            tab.set_input_files("#file", str(folder / "new" / row["id"]))
            tab.wait_for_selector(f"#hint:has-text('{row['id']}')")
            tab.wait_for_selector("#answers li", timeout=60_000)
            names = tab.locator("#answers li span:first-child").all_inner_texts()
            values = [float(value) for value in tab.locator("#answers meter").evaluate_all("m => m.map(b => b.value)")]
            told = [row[f"probability_{k}"] for k in range(1, 6)]
            assert values == pytest.approx(told, abs=0.002), row["id"]  # JPEG has more than one decoder
            sure = [k for k in range(5) if told[k] > 0.005]
            assert [names[k] for k in sure] == [row[f"class_{k + 1}"] for k in sure]
            assert tab.locator("#unknown").is_visible() == row["unknown"], row["id"]

    def test_predict_serve_and_the_page_agree_to_three_digits(self, tab: Any, folder: Path) -> None:
        bundle = Bundle.load(folder / "model")
        served = Served(bundle, max_pixels=10**7)
        for file in sorted((folder / "new").iterdir()):
            row = bundle.predict(file, top=5).iloc[0]
            own = {row[f"class_{k}"]: row[f"probability_{k}"] for k in range(1, 6)}
            answer = served.predict([served.prepare(file.read_bytes())], top=5)[0]
            assert dict(answer.top) == pytest.approx(own, abs=5e-4), file.name
            tab.set_input_files("#file", str(file))
            tab.wait_for_selector(f"#hint:has-text('{file.name}')")
            tab.wait_for_selector("#answers li", timeout=60_000)
            names = tab.locator("#answers li span:first-child").all_inner_texts()
            values = tab.locator("#answers meter").evaluate_all("m => m.map(b => b.value)")
            near = 0.002 if file.suffix == ".jpg" else 5e-4  # JPEG has more than one decoder
            for name, value in zip(names, values):
                assert value == pytest.approx(own.get(name, value), abs=near), (file.name, name)

    @pytest.mark.parametrize("name", ["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"])
    def test_it_resizes_as_pillow_does(self, tab: Any, name: str) -> None:
        pixels = np.random.default_rng(0).integers(0, 256, (37, 53, 3), dtype=np.uint8)
        for wide, tall in ((20, 30), (111, 90), (53, 9)):
            order = "([pixels, wide, tall, name]) => [...resize(pixels, 53, 37, wide, tall, name, 3)]"
            found = tab.evaluate(order, [pixels.ravel().tolist(), wide, tall, name])
            expected = Image.fromarray(pixels).resize((wide, tall), Image.Resampling[name.upper()])
            assert found == np.asarray(expected).ravel().tolist()

    def test_a_file_that_is_no_picture_is_a_sentence(self, tab: Any, folder: Path) -> None:
        tab.set_input_files("#file", str(folder / "model" / "bundle.json"))
        tab.wait_for_selector("#status:has-text('cannot read that picture')")
        assert tab.locator("#answers li").count() == 0
        tab.set_input_files("#file", str(folder / "new" / "plain.png"))
        tab.wait_for_selector("#answers li")
        assert tab.locator("#status").inner_text() == ""

    def test_a_picture_can_be_dropped(self, tab: Any, folder: Path) -> None:
        drop(tab, folder / "new" / "plain.png")
        tab.wait_for_selector("#hint:has-text('dropped.png')")
        tab.wait_for_selector("#answers li")

    def test_it_fits_a_phone(self, tab: Any) -> None:
        before = tab.viewport_size
        tab.set_viewport_size({"width": 390, "height": 844})
        assert tab.evaluate("document.documentElement.scrollWidth") <= 390
        tab.set_viewport_size(before)

    def test_it_says_of_every_pixel_what_the_library_says(
        self, masks_tab: Any, segmenter: Path, tmp_path: Path
    ) -> None:
        rng = np.random.default_rng(1)
        for name, (width, height) in {"small": (31, 20), "wide": (333, 101), "large": (640, 500)}.items():
            Image.fromarray(rng.integers(0, 256, (height // 5 + 1, width // 5 + 1, 3), dtype=np.uint8)).resize(
                (width, height), Image.Resampling.BICUBIC
            ).save(tmp_path / f"{name}.png")
        domain, masks, _ = SegmentModel.load(segmenter).predict(tmp_path)
        for name, picture, mask in zip(domain.ids, domain.x, masks):
            content = base64.b64encode((tmp_path / name).read_bytes()).decode()
            order = """async content => {
                const bytes = Uint8Array.from(atob(content), c => c.charCodeAt(0));
                const { small, wide, tall, mask } = await seen(new Blob([bytes]));
                return [[...small], wide, tall, [...mask]];
            }"""
            assert len(np.unique(mask)) > 1, "of one class any page would be right"
            small, wide, tall, said = masks_tab.evaluate(order, content)
            pixels = np.rint(np.moveaxis(np.asarray(picture), 0, 2) * 255)
            assert (tall, wide) == mask.shape, name
            assert np.array_equal(np.reshape(small, (tall, wide, 3)), pixels), name
            assert (np.reshape(said, (tall, wide)) != mask).mean() < 0.002, name
            masks_tab.set_input_files("#file", str(tmp_path / name))
            masks_tab.wait_for_selector(f"#hint:has-text('{name}')")
            masks_tab.wait_for_selector("#answers li", timeout=60_000)
            shares = np.bincount(mask.ravel(), minlength=3) / mask.size
            shown = masks_tab.locator("#answers meter").evaluate_all("m => m.map(b => b.value)")
            assert shown == pytest.approx(sorted(shares[shares > 0], reverse=True), abs=0.002)
        masks_tab.locator("canvas.mask").hover(position={"x": 3, "y": 3})
        assert re.fullmatch(r"(sky|sea|<b>海</b>), \d+\.\d %", masks_tab.locator("#shown p").inner_text())
