"""Damaged and hostile files of what rooms read: masks, graphs with texts, sounds, sentences, documents."""

from __future__ import annotations

import ast
import json
import os
import pickle
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import wavfile

import unseen
from unseen.data import sounds
from unseen.data.descriptions import DescriptionBank, split
from unseen.data.loaders.coco import OtherSizeError, _from_runs, _unpacked, coco_masks
from unseen.data.loaders.masks import load_masks
from unseen.data.loaders.text_graph import read_graph
from unseen.data.pairs import read_captioned
from unseen.data.rankings import read_corpus, read_queries
from unseen.data.translations import kept_in
from unseen.files import check_kinds, read_json
from unseen.jobs.alignment.reading import read as read_sides
from unseen.jobs.captioning import job as captioning
from unseen.jobs.composed_retrieval.job import read_ratings
from unseen.jobs.matching.job import read as read_views

SRC = Path(unseen.__file__).parent
DEEP = "[" * 100_000
BYTES = bytes(range(256)) * 4


def asked(file: Path, work: Callable[[Path], object]) -> float:
    """Seconds of a processor until a file is refused by a sentence that names it."""
    began = time.process_time()
    with pytest.raises(ValueError, match=file.name) as found:
        work(file)
    assert type(found.value) in (ValueError, UnicodeDecodeError)
    assert len(str(found.value)) < 1000
    return time.process_time() - began


READERS: dict[str, Callable[[Path], object]] = {
    "g.npz": read_graph,
    "g.pt": read_graph,
    "m.json": load_masks,
    "s.wav": lambda file: sounds.read_sound(file, 16_000),
    "s.flac": lambda file: sounds.read_sound(file, 16_000),
    "t.csv": captioning.sounds_of,
    "c.txt": captioning.corpus_of,
    "c.csv": captioning.corpus_of,
    "l.txt": captioning.labels_of,
    "b.json": DescriptionBank.read,
    "b.csv": DescriptionBank.read,
    "b.parquet": DescriptionBank.read,
    "translations.jsonl": kept_in,
    "p.csv": lambda file: read_sides([file]),
    "i.csv": read_captioned,
    "v.csv": read_views,
    "r.csv": read_ratings,
    "d.jsonl": read_corpus,
    "q.txt": read_queries,
    "about.json": read_json,
}


@pytest.mark.parametrize("content", [b"", BYTES, DEEP.encode() + b"\n", b'{"a": 1}\n', b"PK\x03\x04" + BYTES])
@pytest.mark.parametrize("name", READERS)
def test_a_damaged_file_is_told_in_a_sentence_that_names_it(name: str, content: bytes, tmp_path: Path) -> None:
    readable = {"c.txt", "l.txt", "q.txt"} if content != BYTES else set()
    readable |= {"about.json", "d.jsonl"} if content == b'{"a": 1}\n' else set()
    readable |= {"translations.jsonl"} if content == b"" else set()
    (tmp_path / name).write_bytes(content)
    try:
        seconds = asked(tmp_path / name, READERS[name])
    except pytest.fail.Exception:
        assert name in readable
        return
    except ImportError as error:
        pytest.skip(str(error))
    assert seconds < 5


@pytest.mark.parametrize("name", READERS)
def test_a_pipe_is_waited_for_by_no_reader(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / name)
    asked(tmp_path / name, READERS[name])


# -- masks -----------------------------------------------------------------------------------------------------


def coco(**changes: Any) -> dict[str, Any]:
    told = {
        "images": [{"id": 1, "file_name": "1.png", "height": 8, "width": 8}],
        "annotations": [{"image_id": 1, "category_id": 7, "segmentation": [[1, 1, 6, 1, 6, 6]]}],
        "categories": [{"id": 7, "name": "cat"}],
    }
    return {**told, **changes}


@pytest.mark.parametrize(
    "changes",
    [
        {"categories": [{"id": 7}, {"id": "x"}]},
        {"images": [{"id": 1, "file_name": "1.png", "height": "tall", "width": 8}]},
        {"images": [{"id": 1, "file_name": "1.png", "height": float("inf"), "width": 8}]},
        {"images": [[]]},
        {"annotations": ["x"]},
        {"annotations": [{"image_id": 1, "category_id": 7, "area": "large", "segmentation": [[1]]}]},
        {"annotations": [{"image_id": [], "category_id": 7}]},
    ],
)
def test_a_coco_file_that_is_none_is_told_by_its_name(changes: dict[str, Any], tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "1.png")
    (tmp_path / "wrong.json").write_text(json.dumps(coco(**changes)))
    asked(tmp_path / "wrong.json", load_masks)


def test_a_size_that_a_coco_file_tells_takes_no_memory_before_it_is_the_pictures(tmp_path: Path) -> None:
    large = [{"id": 1, "file_name": "1.png", "height": 10**9, "width": 10**9}]
    masks, _ = coco_masks(coco(images=large))
    assert masks["1.png"] is not None
    with pytest.raises(OtherSizeError, match="1000000000 x 1000000000 pixels, the picture 8 x 8"):
        masks["1.png"](8, 8)
    Image.new("RGB", (8, 8)).save(tmp_path / "1.png")
    Image.new("RGB", (8, 8)).save(tmp_path / "2.png")
    fine = {"id": 2, "file_name": "2.png", "height": 8, "width": 8}
    (tmp_path / "c.json").write_text(json.dumps(coco(images=[*large, fine])))
    found, told = load_masks(tmp_path / "c.json")
    assert told.mismatched == ("1.png",)
    assert list(found.ids) == ["2.png"]


def test_run_lengths_whose_sum_passes_round_are_refused() -> None:
    with pytest.raises(ValueError, match="must add up to 64 pixels"):
        _from_runs([2**62, 2**62, 2**62, 2**62, 64], 8, 8)


def test_a_packed_run_length_without_an_end_is_refused_in_a_moment() -> None:
    began = time.process_time()
    with pytest.raises(ValueError, match="more figures than any picture needs"):
        _unpacked("o" * 2_000_000)
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("classes.csv", "name,r,g,b\ncat,red,0,0\n"),
        ("classes.csv", 'name\n"' + "x" * 200_000),
        ("classes.csv", "title\ncat\n"),
        ("labelmap.txt", "cat:1,2:::\n"),
        ("classes.txt", "\udcff"),
    ],
)
def test_a_damaged_list_of_classes_is_told_by_its_folder(name: str, text: str, tmp_path: Path) -> None:
    folder = tmp_path / "scenes"
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
        Image.new("L", (8, 8)).save(folder / part / "1.png")
    (folder / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    asked(folder, load_masks)


# -- graphs with texts -----------------------------------------------------------------------------------------


def test_a_pt_of_pickles_alone_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "old.pt").write_bytes(pickle.dumps({"x_text": ["a"]}))
    with pytest.raises(ValueError, match=r"old\.pt.*no archive as torch.save writes it"):
        read_graph(tmp_path / "old.pt")


@pytest.mark.parametrize("y", [2**62, 10**6])
def test_a_label_is_no_number_of_classes_to_make(y: int, tmp_path: Path) -> None:
    told = {"x_text": np.array(["a", "b"]), "edge_index": np.array([[0], [1]]), "y": np.array([0, y])}
    np.savez(tmp_path / "g.npz", **told)
    assert asked(tmp_path / "g.npz", read_graph) < 2
    torch.save({**told, "x_text": ["a", "b"], "edge_index": torch.tensor([[0], [1]]), "y": torch.tensor([0, y])},
               tmp_path / "g.pt")  # fmt: skip
    asked(tmp_path / "g.pt", read_graph)


def test_an_id_that_repeats_at_the_end_of_a_long_table_is_found_in_a_moment(tmp_path: Path) -> None:
    rows = [f"n{i},text" for i in range(60_000)]
    (tmp_path / "nodes.csv").write_text("\n".join(["id,text", *rows, "n59999,text"]))
    (tmp_path / "edges.csv").write_text("source,target\nn1,n2\n")
    began = time.process_time()
    with pytest.raises(ValueError, match=r"row 60001: the id 'n59999' repeats"):
        read_graph(tmp_path / "nodes.csv", tmp_path / "edges.csv")
    assert time.process_time() - began < 10


# -- sounds and sentences --------------------------------------------------------------------------------------


def test_a_sound_of_many_channels_is_refused_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sounds, "MOST_VALUES", 10_000)
    wavfile.write(tmp_path / "wide.wav", 8000, np.zeros((4000, 8), dtype=np.int16))
    monkeypatch.setattr(wavfile, "read", lambda *_: pytest.fail("it was decoded"))
    with pytest.raises(ValueError, match=r"wide\.wav holds 4,000 values in each of 8 channels"):
        sounds.read_sound(tmp_path / "wide.wav", 16_000)


def test_what_a_decoder_of_sounds_dies_of_becomes_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    soundfile = pytest.importorskip("soundfile")
    soundfile.write(tmp_path / "a.flac", np.zeros(4000), 8000)

    def dies(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(soundfile.SoundFile, "read", dies)
    asked(tmp_path / "a.flac", lambda file: sounds.read_sound(file, 16_000))


def test_sentences_of_much_white_space_are_split_in_a_moment() -> None:
    began = time.process_time()
    assert split("A cat." + " " * 200_000 + "x" + " " * 200_000 + "; a dog;  \n b") == ["A cat.", "x", "a dog", "b"]
    assert time.process_time() - began < 1


def test_json_that_is_large_is_refused_by_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unseen.files.LARGEST_JSON", 10)
    (tmp_path / "about.json").write_text('{"format": 1}')
    with pytest.raises(ValueError, match=r"about\.json: it has 13 bytes; at most 10 are read"):
        read_json(tmp_path / "about.json")


def test_a_field_of_another_kind_is_named() -> None:
    import dataclasses

    @dataclasses.dataclass
    class Told:
        name: str
        share: float = 0.5
        of: str | None = None

    assert check_kinds(Told("a", 1)).share == 1
    with pytest.raises(TypeError, match=r"share must be a float; got \[\]"):
        check_kinds(Told("a", []))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="name must be a str; got None"):
        check_kinds(Told(None))  # type: ignore[arg-type]


# -- one place -------------------------------------------------------------------------------------------------

OPENERS = {
    *("read_csv", "read_parquet", "read_json", "read_excel", "read_pickle", "read_html", "read_xml", "read_table"),
    *("ZipFile", "SoundFile", "urlopen", "fromstring", "XMLParser", "ElementTree"),
}
"""Calls by which other packages open tables, archives, sounds and XML; `read_json` and `read_table` of ours are told
apart by what they are asked of."""
DOORS = {
    "curation": "rooms of their own: what they read, their own pipeline wrote, or is told line by line",
    "data/sources": "what packages ship, pinned by digests",
    "data/loaders": "the doors themselves",
    "data/reading.py": "the doors themselves",
    "data/archive.py": "the doors themselves",
    "data/architectures.py": "decorated by `reads`",
    "data/delimited.py": "files that are open, for those who are decorated by `reads`",
    "data/series.py": "decorated by `reads`",
    "data/class_file.py": "decorated by `reads`",
    "data/sounds.py": "the door of sounds",
    "data/kept_frames.py": "frames that it decoded and kept itself, without code",
    "data/taxonomies": "decorated by `reads`",
    "jobs/concepts/captions.py": "decorated by `reads`",
    "jobs/pruning/embeddings.py": "decorated by `reads`",
    "encoders": "weights of packages",
    "nn/matchers.py": "weights of packages, without code",
    "jobs/quantization/networks.py": "a checkpoint of tensors, without code, behind one `except`",
    "report/page.py": "tables that a run wrote",
    "claims": "experiments on data of packages",
    "methods/curation": "what the pipeline wrote",
}


def opened(file: Path) -> list[str]:
    """Calls in a module by which a file is opened past the doors."""
    found = []
    for node in ast.walk(ast.parse(file.read_text())):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        whose = ast.unparse(node.func.value)
        if node.func.attr in OPENERS and whose in (
            "pd",
            "pandas",
            "pq",
            "zipfile",
            "soundfile",
            "ElementTree",
            "etree",
        ):
            found.append(f"{whose}.{node.func.attr}")
        if (whose, node.func.attr) in (("np", "load"), ("tarfile", "open"), ("gzip", "open"), ("torch", "load")):
            found.append(f"{whose}.{node.func.attr}")
        if (whose, node.func.attr) in (("json", "loads"), ("json", "load")) and "read_plain" in ast.unparse(node):
            found.append("json.loads of read_plain, which read_json does")
    return found


def test_files_are_opened_at_the_doors_alone() -> None:
    past = {}
    for file in sorted(SRC.rglob("*.py")):
        name = file.relative_to(SRC).as_posix()
        if not name.startswith(tuple(DOORS)) and (found := opened(file)):
            past[name] = found
    assert past == {}


def test_the_search_for_opened_files_finds_them(tmp_path: Path) -> None:
    code = "pd.read_csv(x)\nnp.load(x)\ntarfile.open(x)\nzipfile.ZipFile(x)\njson.loads(read_plain(x))\nread_json(x)\n"
    (tmp_path / "x.py").write_text(code)
    assert len(opened(tmp_path / "x.py")) == 5


SHIPPED = (
    *("data/sources", "files.py", "claims", "encoders"),
    *("methods/curation/concept_frequency/published.py", "serving/page.py", "web/evidence.py"),
    "data/loaders/nas_benchmarks.py",
)
"""What reads JSON that packages ship, is the door itself, or is decorated by `reads`."""


def test_json_of_a_users_folder_is_read_at_its_door() -> None:
    """A pipe would be waited for, and what is too deep or no object would end in a raw error."""
    past = [
        name
        for file in sorted(SRC.rglob("*.py"))
        if re.search(r"json\.loads?\([^\n]*\.(read_text|read_bytes|open)\(", file.read_text())
        and not (name := file.relative_to(SRC).as_posix()).startswith(SHIPPED)
    ]
    assert past == []


@pytest.mark.parametrize("content", ["[]", "[" * 50_000, None], ids=["no object", "deep", "pipe"])
def test_a_run_with_damaged_results_is_one_sentence(tmp_path: Path, content: str | None) -> None:
    from unseen.report.page import render

    file = tmp_path / "results.json"
    if content is None:
        os.mkfifo(file)
    else:
        file.write_text(content)
    with pytest.raises(ValueError, match=r"results\.json is"):
        render(tmp_path)
