"""Printed and handwritten digits."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from unseen.data.domain import Lazy
from unseen.data.sources import digits, get, info, list_sources, save
from unseen.data.sources.digits import FONTS, _turned


def test_both_styles_share_classes_and_are_dark_on_white():
    printed, handwritten = digits("printed", copies=1), digits("handwritten")
    assert printed.classes.names == handwritten.classes.names == tuple("0123456789")
    assert (len(printed), len(handwritten)) == (10 * len(FONTS), 1797)
    for domain in (printed, handwritten):
        assert isinstance(domain.x, Lazy)
        picture = np.asarray(domain.x[3])
        assert picture.shape == (32, 32, 3)
        assert picture.mean() > 127
        assert picture.min() < 100


def test_flat_handwritten_digits_of_eight_pixels_are_those_of_scikit_learn():
    data = load_digits()
    domain = digits("handwritten", size=8, flat=True)
    np.testing.assert_allclose(domain.x, data.data / 16, atol=1 / 255)
    np.testing.assert_array_equal(domain.y, data.target)


def test_printed_digits_are_the_same_every_time_and_all_different():
    a, b = digits("printed", copies=2), digits("printed", copies=2)
    assert a.fingerprint() == b.fingerprint()
    assert len(set(a.digests().tolist())) == len(a)


def test_every_font_draws_ten_different_digits():
    domain = digits("printed", size=16, copies=1, flat=True)
    for font in FONTS:
        rows = domain.x[domain.columns["font"] == font]
        assert rows.shape == (10, 256)
        assert np.all(rows.sum(axis=1) > 5)
        gaps = np.abs(rows[:, None] - rows[None]).mean(axis=2) + np.eye(10)
        assert gaps.min() > 0.02, font


def test_a_linear_model_learns_printed_digits_and_feels_the_shift():
    from sklearn.linear_model import LogisticRegression

    printed, handwritten = digits("printed", size=8, flat=True), digits("handwritten", size=8, flat=True)
    train = np.arange(len(printed)) % 80 < 60
    model = LogisticRegression(max_iter=300).fit(printed.x[train], printed.y[train])
    assert model.score(printed.x[~train], printed.y[~train]) > 0.9
    assert 0.3 < model.score(handwritten.x, handwritten.y) < 0.8


@pytest.mark.parametrize(("options", "message"), [({"size": 4}, "size"), ({"copies": 0}, "copies")])
def test_bad_input_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        digits("printed", **options)
    with pytest.raises(ValueError, match="style must be one of printed, handwritten; got 'roman'"):
        digits("roman")


def test_the_registry_lists_describes_and_gets():
    names = [source.name for source in list_sources()]
    assert names[:2] == ["digits:printed", "digits:handwritten"]
    assert "emoji:noto" in names
    assert info("digits:printed").download == 0
    assert "Apache-2.0" in info("emoji:noto").credit
    assert len(get("digits:printed", size=8, copies=1)) == 210
    with pytest.raises(ValueError, match="did you mean 'digits:printed'"):
        info("digits:prnted")


def test_saved_pictures_load_as_class_folders(tmp_path):
    from unseen.data.loaders import load

    domain = digits("printed", size=8, copies=1)
    again = load(save(domain, tmp_path / "printed"), on_error="fail")
    assert again.classes.names == domain.classes.names
    assert np.bincount(again.y).tolist() == [21] * 10
    first = {name.rpartition("/")[2]: i for i, name in enumerate(again.ids.tolist())}
    i = first[domain.ids[5].replace("/", "-") + ".png"]
    np.testing.assert_array_equal(np.asarray(again.x[i]), np.asarray(domain.x[5]))
    assert [path.name for path in tmp_path.iterdir()] == ["printed"]
    with pytest.raises(FileExistsError, match="exists already"):
        save(domain, tmp_path / "printed")


@pytest.mark.parametrize("angle", [-9.7, -0.003, 4.2, 10.0])
def test_a_glyph_is_turned_as_the_whole_canvas_would_be(angle):
    from PIL import Image, ImageDraw

    for box in [(90, 30, 180, 220), (0, 200, 256, 256), (40, 41, 41, 42)]:
        canvas = Image.new("L", (256, 256))
        ImageDraw.Draw(canvas).ellipse(box, fill=255)
        whole = canvas.rotate(angle, Image.Resampling.BICUBIC)
        assert (np.asarray(_turned(canvas, angle)) == np.asarray(whole)).all()
