"""Pairs of samples of two modalities."""

import numpy as np
import pytest
from PIL import Image

from unseen.data.domain import Domain
from unseen.data.pairs import Pairs, captioned_clips, read_pairs


def texts(*values):
    return Domain(x=np.array(values), kind="text", name="texts")


def test_pairs_are_taken_row_by_row():
    pairs = Pairs(texts("a", "b", "c"), texts("x", "y", "z"), columns={"n": [1, 2, 3]})
    part = pairs.take(np.array([2, 0]))
    assert len(part) == 2
    assert part.left.x.tolist() == ["c", "a"]
    assert part.right.x.tolist() == ["z", "x"]
    assert part.columns["n"].tolist() == [3, 1]
    assert part.ids.tolist() == ["000002", "000000"]
    assert pairs.swap().left.x.tolist() == ["x", "y", "z"]


def test_sides_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="equal length; got 1 and 2"):
        Pairs(texts("a"), texts("x", "y"))
    with pytest.raises(TypeError, match="right must be a Domain; got list"):
        Pairs(texts("a"), ["x"])
    with pytest.raises(ValueError, match="ids must be unique"):
        Pairs(texts("a", "b"), texts("x", "y"), ids=["1", "1"])
    with pytest.raises(ValueError, match="n has 1 entries"):
        Pairs(texts("a", "b"), texts("x", "y"), columns={"n": [1]})


@pytest.fixture
def folder(tmp_path):
    for i, colour in enumerate(["red", "lime", "blue"]):
        Image.new("RGB", (4, 4), colour).save(tmp_path / f"{i}.png")
        Image.new("RGB", (4, 4), colour).save(tmp_path / f"{i}b.png")
    (tmp_path / "1.png").write_bytes(b"broken")
    (tmp_path / "t.csv").write_text(
        "photo,sketch,words,site\n0.png,0b.png,red,s\n1.png,1b.png,green,t\n2.png,x.png,blue,s\n"
    )
    return tmp_path


def test_pictures_with_texts(folder):
    pairs = read_pairs(folder / "t.csv", left="photo", right="words")
    assert (pairs.left.kind, pairs.right.kind, len(pairs)) == ("image", "text", 2)
    assert pairs.left.x[1].getpixel((0, 0)) == (0, 0, 255)
    assert pairs.right.x.tolist() == ["red", "blue"]
    assert pairs.columns["site"].tolist() == ["s", "s"]
    assert pairs.left.skipped[0].where == "1.png"


def test_a_pair_is_left_out_if_either_side_is_broken(folder):
    pairs = read_pairs(folder / "t.csv", left="photo", right="sketch")
    assert len(pairs) == 1
    assert pairs.left.x[0].getpixel((0, 0)) == pairs.right.x[0].getpixel((0, 0)) == (255, 0, 0)
    assert pairs.right.skipped[0].where == "x.png"
    with pytest.raises(ValueError, match="1 unreadable"):
        read_pairs(folder / "t.csv", left="photo", right="sketch", on_error="fail")


def test_texts_with_texts(tmp_path):
    (tmp_path / "t.tsv").write_text("en\tde\nyes\tja\nno\tnein\n")
    pairs = read_pairs(tmp_path / "t.tsv", left="en", right="de")
    assert pairs.right.x.tolist() == ["ja", "nein"]
    with pytest.raises(ValueError, match="right 'fr' is not there"):
        read_pairs(tmp_path / "t.tsv", left="en", right="fr")
    with pytest.raises(ValueError, match="two columns"):
        read_pairs(tmp_path / "t.tsv", left="en", right="en")


def test_a_column_of_captions_stands_beside_its_clips():
    x = np.zeros((3, 2, 3, 4, 4), np.float32)
    columns = {"caption": np.array(["a dog", "a cat", "a fox"]), "start": np.array([0.0, 2.0, 4.0])}
    clips = Domain(x=x, y=[0, 1, 0], kind="clip", columns=columns, name="clips")
    pairs = captioned_clips(clips)
    assert (pairs.left.kind, pairs.right.kind) == ("clip", "text")
    assert pairs.left.y is None
    assert pairs.right.x.tolist() == ["a dog", "a cat", "a fox"]
    assert pairs.columns["start"].tolist() == [0, 2, 4]
    with pytest.raises(ValueError, match="column 'said' is not there; clips has caption, start"):
        captioned_clips(clips, "said")
    with pytest.raises(ValueError, match="that of '1' is empty"):
        captioned_clips(clips.replace(ids=["0", "1", "2"], columns={"caption": np.array(["a", " ", "c"])}))
    with pytest.raises(ValueError, match="must be of kind clip; p is of kind 'features'"):
        captioned_clips(Domain(x=np.zeros((2, 3)), name="p"))


def test_a_column_of_sounds_is_heard_and_not_read_as_names_of_files(tmp_path):
    """Their names were embedded as texts, without a word."""
    from scipy.io import wavfile

    wave = (8000 * np.sin(np.arange(4000) / 5)).astype(np.int16)
    for i in range(3):
        wavfile.write(tmp_path / f"{i}.wav", 8000, wave)
    (tmp_path / "t.csv").write_text("sound,caption\n" + "0.wav,a tone\n1.wav,another\n2.wav,a third\nno.wav,none\n" * 5)
    pairs = read_pairs(tmp_path / "t.csv", left="sound", right="caption")
    assert (pairs.left.kind, pairs.right.kind, len(pairs)) == ("audio", "text", 15)
    assert pairs.left.x[0].rate == 8000
    assert [one.where for one in pairs.left.skipped][:1] != []
