"""`unseen explain`: what is told of pictures, as a page, a picture and through a real process."""

from __future__ import annotations

import functools
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image, ImageDraw

import in_process
import processes
from unseen import encoders
from unseen.bundle import Bundle
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.methods.adaptation.ugt import UGT
from unseen.methods.baselines.ridge import Ridge
from unseen.methods.zero_shot.crest import CREST
from unseen.report.explain import COLD, COVER, HEAT, explained, heated, tinted, words, write

ATTRIBUTES = ("red", "blue", "round", "square")
CLASSES = ("red round", "red square", "blue round", "blue square", "<b>both</b>")
"""The last one is unseen, and its name is no markup."""
TABLE = np.array([[1, 0, 1, 0], [1, 0, 0, 1], [0, 1, 1, 0], [0, 1, 0, 1], [1, 1, 1, 0]], dtype=np.float32)
LITE0 = "efficientnet-lite0?size=64"


def drawn(kind: int, seed: int) -> np.ndarray:
    """A shape somewhere on white, (64, 64, 3)."""
    picture, place = Image.new("RGB", (64, 64), "white"), np.random.default_rng(seed).integers(2, 30, 2).tolist()
    draw = ImageDraw.Draw(picture)
    shape = draw.ellipse if TABLE[kind, 2] else draw.rectangle
    shape([*place, place[0] + 30, place[1] + 30], fill="red" if TABLE[kind, 0] else "blue")
    return np.asarray(picture)


def pictures(n: int, seed: int = 0) -> Domain:
    y = np.arange(n) % 4
    return Domain(x=np.stack([drawn(c, seed + i) for i, c in enumerate(y)]), y=y, kind="image", name="pictures")


def model(method: Any, encoder: str) -> Bundle:
    classes = ClassSpace(names=CLASSES, attributes=TABLE, attribute_names=ATTRIBUTES, seen=range(4))
    network = encoders.get(encoder, precision="fp32")
    source = network.encode(pictures(24), cache=False).replace(classes=classes.take(range(4)))
    return Bundle(method=method.fit(source=source, classes=classes), classes=classes, encoder=network)


@pytest.fixture(scope="module")
def located() -> Bundle:
    torch.manual_seed(0)
    return model(CREST(**CREST.card.smoke, generalized=True), f"{LITE0}&regions=2")


@pytest.fixture(scope="module")
def whole() -> Bundle:
    """A model whose encoder gives no regions."""
    return model(CREST(**CREST.card.smoke), LITE0)


@pytest.fixture(scope="module")
def mapped() -> Bundle:
    """A model that explains by maps of 4 x 4 cells."""
    network = encoders.get(f"{LITE0}&crop=1&layer=4&regions=4", precision="fp32")
    classes = ClassSpace(names=CLASSES[:4])
    source = network.encode(pictures(24), cache=False).replace(classes=classes)
    target = network.encode(pictures(12, seed=50), cache=False)
    return Bundle(method=UGT(**UGT.card.smoke).fit(source=source, target=target), classes=classes, encoder=network)


# -- what is told ------------------------------------------------------------------------------------------


def test_what_is_told_is_the_prediction_and_the_attributes_that_spoke_for_it(located: Bundle) -> None:
    new = pictures(6, seed=90)
    told, table = explained(located, new, top=3), located.predict(new)
    assert [one.prediction for one in told] == table["class"].tolist()
    np.testing.assert_allclose([one.probability for one in told], table["probability"])
    for one in told:
        assert [name for name, _, _ in one.open] == ["visual", "attribute", "fused"]
        assert all(0 < u <= 1 and word == words(u) for _, u, word in one.open)
        assert one.cells == (2, 2)
        assert len(one.parts) <= 3
        spoke = [part.found * part.expected for part in one.parts]
        assert all(product > 0 for product in spoke)
        assert spoke == sorted(spoke, reverse=True)
        has = TABLE[CLASSES.index(one.prediction)]
        assert all(has[ATTRIBUTES.index(part.name)] for part in one.parts)
        assert all(part.heat.size == one.picture.size for part in one.parts)


def test_an_even_map_has_no_colour_and_a_cell_colours_its_own_place() -> None:
    picture = Image.new("RGB", (80, 80), (90, 160, 30))
    even = np.asarray(heated(picture, np.full((2, 2), 0.25), 3.0)).astype(int)
    assert (even.max(axis=2) == even.min(axis=2)).all()
    one = np.asarray(heated(picture, np.array([[0.0, 1], [0, 0]]), 4.0)).astype(int)
    colour = one[:, :, 0] - one[:, :, 1]  # red over grey
    assert colour[10, 70] > 0.7 * (HEAT[0] - HEAT[1])
    assert max(colour[70, 10], colour[10, 5], colour[70, 70]) <= 1  # the smooth edge swings by a level


def test_a_model_of_parts_maps_what_speaks_for_the_class_and_what_is_occluded(mapped: Bundle) -> None:
    new = pictures(6, seed=90)
    told, table, method = explained(mapped, new), mapped.predict(new, top=2), mapped.method
    assert isinstance(method, UGT)
    evidence, occluded = (verb(mapped.features(new)) for verb in (method.evidence_maps, method.occlusion_maps))
    for i, one in enumerate(told):
        assert (one.prediction, one.parts, one.open, one.cells) == (table["class"][i], (), (), (4, 4))
        speaks, covered = one.maps
        assert speaks.name == f"{table['class_1'][i]} rather than {table['class_2'][i]}"
        np.testing.assert_array_equal(speaks.values, evidence[i])
        np.testing.assert_array_equal(covered.values, occluded[i])
        assert covered.note == f"{(occluded[i] > 0).mean():.0%} of the cells show no part of it"
        assert speaks.heat.size == covered.heat.size == one.picture.size


def test_what_speaks_against_a_class_has_a_colour_of_its_own() -> None:
    picture = Image.new("RGB", (80, 80), (90, 160, 30))
    found = np.asarray(tinted(picture, np.array([[0.0, 1], [-1, 0]]), HEAT, COLD)).astype(int)
    hue = found[:, :, 0] - found[:, :, 2]  # red over blue
    assert hue[10, 70] > 0.7 * (HEAT[0] - HEAT[2])
    assert hue[70, 10] < 0.7 * (COLD[0] - COLD[2])
    one_sided = np.asarray(tinted(picture, np.array([[0.0, 1], [-1, 0]]), COVER)).astype(int)
    assert np.ptp(one_sided[70, 10]) <= 1


@pytest.mark.parametrize(("u", "word"), [(0.01, "hardly anything"), (0.05, "little"), (0.5, "much"), (1.0, "nearly")])
def test_what_is_left_open_in_words(u: float, word: str) -> None:
    assert words(u).startswith(word)


# -- page and picture --------------------------------------------------------------------------------------


def test_the_page_needs_nothing_else_and_names_are_no_markup(located: Bundle, tmp_path: Path) -> None:
    told = explained(located, pictures(2), top=2)
    told = [one._replace(prediction=CLASSES[4], name="<i>x</i>.png") for one in told]
    write(tmp_path / "why.html", told, located)
    page = (tmp_path / "why.html").read_text()
    assert "&lt;b&gt;both&lt;/b&gt;" in page
    assert "<b>both</b>" not in page
    assert "<i>x</i>" not in page
    assert "<script" not in page
    assert set(re.findall(r'(?:src|href)="([a-z]+:)', page)) == {"data:"}
    assert not re.search(r"https?://", page)
    assert page.count('class="why"') == 2
    assert [file.name for file in tmp_path.iterdir()] == ["why.html"]


def test_page_and_picture_of_a_model_of_parts(mapped: Bundle, tmp_path: Path) -> None:
    told = explained(mapped, pictures(2))
    for name in ("why.html", "why.png"):
        write(tmp_path / name, told, mapped)
    page = (tmp_path / "why.html").read_text()
    assert page.count("<img") == 2 * 3
    assert told[0].maps[0].name in page
    assert "Left open" not in page
    assert "No attribute" not in page
    assert Image.open(tmp_path / "why.png").width > 500


def test_one_region_locates_nothing_and_says_so(whole: Bundle, tmp_path: Path) -> None:
    told = explained(whole, pictures(1))
    assert told[0].cells == (1, 1)
    write(tmp_path / "why.html", told, whole)
    page = (tmp_path / "why.html").read_text()
    assert "gives one region, so nothing is located" in page
    assert 'was looked for"' not in page


def test_a_class_for_which_nothing_spoke_says_so(located: Bundle, tmp_path: Path) -> None:
    told = [explained(located, pictures(1))[0]._replace(parts=())]
    for name in ("why.html", "why.png"):
        write(tmp_path / name, told, located)
    assert "No attribute that this class has was found" in (tmp_path / "why.html").read_text()


def test_the_picture_has_a_row_for_each_sample(located: Bundle, tmp_path: Path) -> None:
    told = explained(located, pictures(3), top=2)
    heights = []
    for n in (1, 3):
        write(tmp_path / "why.png", told[:n], located)
        heights.append(Image.open(tmp_path / "why.png").height)
    assert heights[1] == 3 * heights[0]


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (390, "dark")])
@pytest.mark.parametrize("model", ["located", "mapped"])
def test_the_page_fits_the_window_and_breaks_no_rule_of_its_own(
    browser: Any, request: Any, tmp_path: Path, model: str, width: int, scheme: str
) -> None:
    bundle = request.getfixturevalue(model)
    write(tmp_path / "why.html", explained(bundle, pictures(3)), bundle)
    context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme, offline=True)
    page, said = context.new_page(), []
    page.on("console", lambda message: said.append(message.text))
    page.goto((tmp_path / "why.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
    assert said == []
    context.close()


# -- what cannot be explained ------------------------------------------------------------------------------


def test_a_method_that_does_not_explain_names_those_that_do(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"ridge does not explain its predictions; these methods do: .*crest.*ugt"):
        explained(model(Ridge(), LITE0), pictures(1))


def test_bad_requests_are_named(located: Bundle, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="samples must be pictures"):
        explained(located, Domain(x=np.zeros((2, 3)), name="table"))
    with pytest.raises(ValueError, match="top must be at least 1"):
        explained(located, pictures(1), top=0)
    with pytest.raises(ValueError, match=r"out must end in \.html or \.png"):
        write(tmp_path / "why.pdf", explained(located, pictures(1)), located)
    with pytest.raises(ValueError, match="no picture to explain"):
        write(tmp_path / "why.html", [], located)


@pytest.mark.parametrize(
    ("out", "told"), [("why.pdf", "out must end in"), ("none/why.html", "there is no folder 'none'")]
)
def test_a_file_that_cannot_be_written_is_named_before_any_work(out: str, told: str) -> None:
    from unseen.cli.explain import explain

    with pytest.raises(ValueError, match=told):
        explain(Path("no model"), ["no picture"], Path(out))


# -- through a process -------------------------------------------------------------------------------------


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The command line in this process, which is quicker."""
    monkeypatch.setenv("UNSEEN_CACHE", str(tmp_path / "cache"))
    return functools.partial(in_process.unseen, tmp_path, code=0)


@pytest.fixture
def process(tmp_path: Path) -> Any:
    def run(*args: Any, code: int = 0) -> Any:
        env = {**os.environ, "OMP_NUM_THREADS": "1", "UNSEEN_CACHE": str(tmp_path / "cache"), "NO_COLOR": "1"}
        command = [sys.executable, "-m", "unseen.cli", *map(str, args)]
        done = processes.run(command, capture_output=True, text=True, cwd=tmp_path, env=env)
        assert done.returncode == code, done.stderr[-2000:]
        return done

    return run


def test_help_teaches_with_an_example(call: Any) -> None:
    assert "unseen explain models/animals okapi.jpg" in call("explain", "--help").stdout


def test_a_saved_model_of_parts_explains_in_a_process(process: Any, mapped: Bundle, tmp_path: Path) -> None:
    mapped.save(tmp_path / "parts")
    Image.fromarray(drawn(0, 90)).save(tmp_path / "new.png")
    told = json.loads(process("explain", "parts", "new.png", "--out", "why.png", "--json").stdout)
    assert [one["name"] for one in told[0]["maps"]][1] == "occluded"
    assert np.shape(told[0]["maps"][0]["values"]) == (4, 4)
    assert " rather than " in process("explain", "parts", "new.png").stdout


@pytest.mark.slow
def test_from_folders_and_a_class_file_to_a_page(process: Any, tmp_path: Path) -> None:
    names = (*CLASSES[:4], "both")
    for kind, name in enumerate(names):
        folder = tmp_path / ("new" if kind == 4 else f"known/{name}")
        folder.mkdir(parents=True)
        for i in range(4):
            Image.fromarray(drawn(kind, 50 * kind + i)).save(folder / f"{name} {i}.png")
    pd.DataFrame(TABLE.astype(int), columns=ATTRIBUTES).assign(name=names).to_csv(tmp_path / "classes.csv", index=False)
    quick = [word for key, value in CREST.card.smoke.items() for word in ("--set", f"{key}={value}")]
    given = ("--method", "crest", "--source", "known", "--classes", "classes.csv", "--encoder", f"{LITE0}&regions=2")
    process("adapt", *given, *quick, "--set", "generalized=true", "--out", "models/shapes")
    told = json.loads(
        process("explain", "models/shapes", "new", "known", "--top", 2, "--out", "why.html", "--json").stdout
    )
    assert len(told) == 20
    assert set(told[0]) == {"id", "class", "probability", "left open", "attributes"}
    assert all(len(one["attributes"]) <= 2 for one in told)
    assert (tmp_path / "why.html").read_text().count('class="why"') == 20
    line = process("explain", "models/shapes", "new/both 0.png", "--out", "why.png").stdout
    assert line.startswith("both 0.png: ")
    assert "Left open: visual" in line
    assert Image.open(tmp_path / "why.png").width > 500
