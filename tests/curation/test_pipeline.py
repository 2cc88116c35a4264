"""The pipeline on a small web: exact books, one order, the same bits after a kill and on Ray, nothing lost."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import logging
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from unseen.claims.laion_site import EXPECTED, misses
from unseen.curation import Collection, pipeline, stages
from unseen.curation.accounting import Accounting, counted
from unseen.curation.columns import open_columns
from unseen.curation.pipeline import curate
from unseen.encoders.two_tower import TwoTowerEncoder
from unseen.methods.curation.laion.heads import train_head
from unseen.methods.curation.laion.safety import Rule
from unseen.methods.curation.laion.similarity import cosine
from unseen.scale import Engine


def digests(out: Path) -> dict[str, str]:
    """What a run leaves for its user, by file."""
    files = [*sorted((out / "shards").rglob("*")), *(out / name for name in ("dropped.parquet", "accounting.json"))]
    return {f.relative_to(out).as_posix(): hashlib.sha256(f.read_bytes()).hexdigest() for f in files if f.is_file()}


@pytest.fixture(scope="module")
def whole(served: Any, towers: TwoTowerEncoder, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return curate(served.crawl, tmp_path_factory.mktemp("whole") / "pairs", encoder=towers, settings=served.settings())


def test_the_counts_of_every_reason_are_those_planted(whole: Any, served: Any) -> None:
    assert misses(whole.accounting, served.web) == 0
    assert {key for key in whole.accounting.dropped if key[0] != "filter"} == set(EXPECTED)
    ordinary = sum(served.web.counts[kind] for kind in ("clean", "mismatched", "boilerplate"))
    assert (whole.accounting.kept, whole.accounting.parsed) == (ordinary, len(served.web.links))
    assert whole.failures == ()


def test_a_file_met_twice_and_a_resized_copy_are_one_of_each_whichever_of_them_stays(
    towers: TwoTowerEncoder, tmp_path: Path
) -> None:
    from PIL import Image

    from unseen.curation import Settings
    from unseen.data.simulate.web import jpeg, rendered

    rng = np.random.default_rng(0)
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(8):
        shown = rendered(Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)), rng)
        for name, picture in (("file", shown), ("again", shown), ("smaller", shown.resize((220, 220)))):
            (folder / f"{i}-{name}.jpg").write_bytes(jpeg(picture))
            (folder / f"{i}-{name}.txt").write_text(f"{name}, a caption of picture {i}")
    found = curate(folder, tmp_path / "pairs", encoder=towers, settings=Settings(threshold=-1.0))
    assert found.accounting.of("duplicates") == {"the same picture": 8, "nearly the same picture": 8}
    stayed = Collection.open(found.folder).table(["text"])["text"].to_pylist()
    assert {text.startswith("smaller") for text in stayed} == {True, False}


def test_a_shard_of_broken_pictures_alone_stops_no_decision(towers: TwoTowerEncoder, tmp_path: Path) -> None:
    from PIL import Image

    from unseen.curation import Settings
    from unseen.data.simulate.web import jpeg, rendered

    rng = np.random.default_rng(0)
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(6):
        shown = rendered(Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)), rng)
        (folder / f"{i}.jpg").write_bytes(jpeg(shown) if i < 4 else b"no picture")
        (folder / f"{i}.txt").write_text(f"a caption of picture {i}")
    found = curate(folder, tmp_path / "pairs", encoder=towers, settings=Settings(threshold=-1.0, shard_size=1))
    assert (found.accounting.parsed, found.accounting.kept, found.failures) == (6, 4, ())


def test_a_count_that_is_off_by_one_is_seen(whole: Any, served: Any) -> None:
    own = whole.accounting
    first = next(iter(EXPECTED))
    wrong = Accounting(own.parsed, own.kept - 1, {**own.dropped, first: own.dropped[first] + 1})
    assert misses(wrong, served.web) == 1
    with pytest.raises(ValueError, match="lost or counted twice"):
        Accounting(own.parsed, own.kept - 1, own.dropped)


def test_every_drop_is_kept_with_its_reason_and_adds_up(whole: Any, served: Any) -> None:
    table = pq.read_table(whole.folder / "dropped.parquet")
    assert counted(table) == whole.accounting.dropped
    assert len(table) + whole.accounting.kept == len(served.web.links)
    assert Accounting.load(whole.folder / "accounting.json") == whole.accounting


def test_table_pictures_and_embeddings_have_one_order_and_similarity_is_their_cosine(whole: Any) -> None:
    collection = Collection.open(whole.folder)
    image, text = (np.asarray(collection.embeddings(side), np.float32) for side in ("image", "text"))
    table = collection.table().to_pylist()
    np.testing.assert_allclose([row["similarity"] for row in table], cosine(image, text), atol=1e-6)
    for row in range(0, len(table), 7):
        assert hashlib.sha256(collection.picture(row)).hexdigest() == table[row]["sha256"]
    for shard in collection.shards:
        with tarfile.open(shard.folder / "images.tar") as archive:
            keys = list(dict.fromkeys(name.partition(".")[0] for name in archive.getnames()))
        assert keys == shard.table(["uid"])["uid"].to_pylist()
    assert {row["license"] for row in table} == {"?", "https://creativecommons.org/licenses/by/4.0/"}


def test_embeddings_are_those_of_the_encoder_alone(whole: Any, towers: TwoTowerEncoder) -> None:
    from unseen.data.images import decode

    collection = Collection.open(whole.folder)
    alone = towers.encode_image([decode(collection.picture(row)) for row in range(8)], cache=False)
    alone /= np.linalg.norm(alone, axis=1, keepdims=True)
    np.testing.assert_array_equal(collection.embeddings("image")[:8], alone.astype(np.float16))


def test_stages_run_alone_and_a_run_that_broke_off_ends_with_the_same_files(
    whole: Any, served: Any, towers: TwoTowerEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "pairs"

    def again(**more: Any) -> Any:
        return curate(served.crawl, out, encoder=towers, settings=served.settings(), **more)

    with pytest.raises(ValueError, match="nothing of stage 'parse' yet"):
        again(stages=["fetch"])
    first = again(stages=["parse"])
    assert first.accounting.kept == 0
    assert first.accounting.waiting > 0
    real, calls = stages.fetch_shard, []

    def broken(job: Any, number: int) -> int:
        calls.append(number)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(job, number)

    monkeypatch.setattr(stages, "fetch_shard", broken)
    with pytest.raises(KeyboardInterrupt):
        again(stages=["fetch"])
    monkeypatch.setattr(stages, "fetch_shard", real)
    assert again(stages=["fetch", "embed"]).accounting.waiting > 0
    assert again().accounting == whole.accounting
    assert digests(out) == digests(whole.folder)


def test_a_shard_that_fails_is_named_counted_and_made_good(
    whole: Any, served: Any, towers: TwoTowerEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = stages.write_shard

    def full(folder: Path, number: int, *args: Any, **more: Any) -> Any:
        if number == 1 and folder.name == "fetched":
            raise OSError(errno.EIO, "Input/output error")
        return real(folder, number, *args, **more)

    monkeypatch.setattr(stages, "write_shard", full)
    out = tmp_path / "pairs"
    settings = served.settings()
    found = curate(served.crawl, out, encoder=towers, settings=settings)
    assert [(one.stage, one.number) for one in found.failures] == [("fetch", 1)]
    assert "Input/output error" in found.failures[0].error
    lost = found.accounting.of("download")["its shard failed"]
    assert lost == pq.read_metadata(out / "work/candidates/00001.parquet").num_rows
    assert found.accounting.parsed == len(served.web.links)
    assert not list((out / "work/fetched/shards").glob(".*"))
    details = pq.read_table(out / "dropped.parquet").to_pylist()
    assert sum("Input/output" in row["detail"] for row in details) == lost
    monkeypatch.setattr(stages, "write_shard", real)
    assert curate(served.crawl, out, encoder=towers, settings=settings).failures == ()
    assert digests(out) == digests(whole.folder)


def test_a_threshold_may_change_later_and_other_settings_may_not(
    served: Any, towers: TwoTowerEncoder, other_towers: TwoTowerEncoder, tmp_path: Path
) -> None:
    out = tmp_path / "pairs"
    half = curate(served.crawl, out, encoder=towers, settings=served.settings(threshold=None, target_keep=0.5))
    kept = {row["uid"]: row["similarity"] for row in Collection.open(out).table().to_pylist()}
    below = half.accounting.of("filter")["picture and caption less alike than in the share to keep"]
    assert abs(below - len(kept)) <= 3  # a rounding in each of three streams
    table = pq.read_table(out / "dropped.parquet").to_pylist()
    dropped = [float(row["detail"]) for row in table if row["stage"] == "filter"]
    assert len(dropped) == below
    least = json.loads((out / "collection.json").read_text())["thresholds"]
    assert all(value >= min(least.values()) - 1e-6 for value in kept.values())
    more = curate(served.crawl, out, encoder=towers, settings=served.settings(threshold=-1.0), stages=["select"])
    assert set(kept) < {row["uid"] for row in Collection.open(out).table().to_pylist()}
    assert more.accounting.kept == len(kept) + below
    with pytest.raises(ValueError, match="begun with another encoder: say"):
        curate(served.crawl, out, encoder=other_towers, settings=served.settings())
    with pytest.raises(ValueError, match="begun with seed 0, not 1: say"):
        curate(served.crawl, out, encoder=towers, settings=served.settings(seed=1))
    with pytest.raises(ValueError, match="stages must be some of"):
        curate(served.crawl, out, encoder=towers, settings=served.settings(), stages=["crawl"])
    with pytest.raises(ValueError, match="need an encoder"):
        curate(served.crawl, out, settings=served.settings())


def test_heads_rules_and_languages_do_what_they_say(served: Any, towers: TwoTowerEncoder, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 64)).astype(np.float32)
    about = {"name": towers.name, "fingerprint": towers.fingerprint, "dim": towers.dim}
    y = (x[:, 0] > 0).astype(np.int64)
    heads = [train_head(x, y, name=name, encoder=about, folds=0) for name in ("watermark", "toxicity")]
    rules = (
        Rule(name="unsafe", neutral=("a drawing",), flagged=("eine Zeichnung", "Formen")),
        Rule(name="seven", action="drop", keywords=("7",), only_tagged=False),
    )
    out = tmp_path / "pairs"
    settings = served.settings(rules=rules, languages=("en", "none"))
    found = curate(served.crawl, out, encoder=towers, heads=heads, settings=settings)
    collection = Collection.open(out)
    table = collection.table().to_pylist()
    for head, side in zip(heads, ("image", "text")):
        scores = head.score(np.asarray(collection.embeddings(side), np.float32))
        np.testing.assert_allclose([row[head.column] for row in table], scores, atol=1e-6)
    assert {row["nsfw"] for row in table} <= {"UNLIKELY", "UNSURE", "NSFW"}
    assert not any(row["text"].endswith(" 7") for row in table)
    assert set(found.accounting.of("safety")) <= {"rule seven"}
    assert {row["language"] for row in table} <= {"en", ""}
    assert found.accounting.of("language")["a language that is not wanted"] > 0
    figures = json.loads((out / "statistics.json").read_text())
    assert figures["all"]["pairs"] == len(table)
    flagged = np.mean([row["pwatermark"] > 0.8 for row in table])
    assert figures["all"]["share_pwatermark"] == pytest.approx(flagged)
    other = train_head(x, y, name="a", encoder={**about, "fingerprint": "0"}, folds=0)
    with pytest.raises(ValueError, match="another encoder"):
        curate(served.crawl, out, encoder=towers, heads=[other], settings=settings)


def test_captions_of_other_languages_go_to_the_multilingual_encoder_or_are_warned_of(
    served: Any,
    towers: TwoTowerEncoder,
    other_towers: TwoTowerEncoder,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def vectors(name: str, **more: Any) -> dict[str, Any]:
        out = tmp_path / name
        curate(served.crawl, out, encoder=towers, settings=served.settings(), **more)
        collection = Collection.open(out)
        rows = collection.table(["uid", "language"]).to_pylist()
        return {row["uid"]: (row["language"], vector) for row, vector in zip(rows, collection.embeddings("text"))}

    with caplog.at_level(logging.WARNING):
        plain = vectors("plain")
    assert "are not English" in caplog.text
    caplog.clear()
    mixed = vectors("mixed", multilingual=other_towers)
    assert "are not English" not in caplog.text
    both = plain.keys() & mixed.keys()  # of copies another one may stay
    assert len(both) > 50
    same = {uid: np.array_equal(plain[uid][1], mixed[uid][1]) for uid in both}
    assert all(same[uid] == (plain[uid][0] == "en") for uid in both)


def test_pictures_on_disk_need_no_download_and_go_through_the_same_gate(
    towers: TwoTowerEncoder, tmp_path: Path
) -> None:
    from unseen.curation import Settings
    from unseen.data.simulate.web import jpeg, rendered

    rng = np.random.default_rng(0)
    folder = tmp_path / "photos"
    folder.mkdir()
    from PIL import Image

    ground = Image.new("RGB", (200, 200), "white")
    for i in range(4):
        (folder / f"{i}.jpg").write_bytes(jpeg(rendered(ground, rng)))
        (folder / f"{i}.txt").write_text(f"a fine caption {i}")
    (folder / "page.png").write_bytes(b"<html>" + bytes(9000))
    (folder / "page.txt").write_text("an HTML page as a picture")
    (folder / "silent.jpg").write_bytes((folder / "0.jpg").read_bytes())
    found = curate(folder, tmp_path / "pairs", encoder=towers, settings=Settings(threshold=-1.0, near=None))
    assert found.accounting.kept == 4
    assert found.accounting.dropped == {
        ("parse", "no caption"): 1, ("checks", "HTML in place of a picture"): 1,
    }  # fmt: skip


def test_pages_that_cannot_be_decoded_stand_in_the_books(tmp_path: Path) -> None:
    place = tmp_path / "pages"
    place.mkdir()
    html = '<img src="http://x.org/a.jpg" alt="the caption">'
    (place / "marked.html").write_bytes(html.encode("utf-16"))
    (place / "unmarked.html").write_bytes(html.encode("utf-16-le"))
    found = curate(place, tmp_path / "out", stages=["parse"])
    assert (found.accounting.parsed, found.accounting.waiting) == (2, 1)
    assert found.accounting.of("parse") == {"a page that cannot be decoded": 1}
    (row,) = pq.read_table(tmp_path / "out" / "dropped.parquet").to_pylist()
    assert (row["url"], row["reason"]) == ("unmarked.html", "a page that cannot be decoded")


def test_an_input_of_which_nothing_is_left_is_an_empty_collection(towers: TwoTowerEncoder, tmp_path: Path) -> None:
    from unseen.curation import Settings

    (tmp_path / "links.csv").write_text("url,text\nftp://x.org/a.jpg,a caption here\n,nothing at all\n")
    found = curate(tmp_path / "links.csv", tmp_path / "pairs", encoder=towers, settings=Settings(threshold=-1.0))
    assert (found.accounting.parsed, found.accounting.kept) == (2, 0)
    assert len(Collection.open(tmp_path / "pairs")) == 0


@pytest.mark.slow
def test_ray_gives_the_same_files(whole: Any, served: Any, towers: TwoTowerEncoder, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    out = tmp_path / "pairs"
    curate(served.crawl, out, encoder=towers, settings=served.settings(), engine=Engine(name="ray"))
    assert digests(out) == digests(whole.folder)


def test_the_report_has_every_reason_and_shows_captions_as_text(
    served: Any, towers: TwoTowerEncoder, tmp_path: Path
) -> None:
    from PIL import Image

    from unseen.curation import Settings
    from unseen.report.curate import write_report

    folder = tmp_path / "photos"
    folder.mkdir()
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 90, 3), dtype=np.uint8)).save(stream, "PNG")
    (folder / "a.png").write_bytes(stream.getvalue())
    (folder / "a.txt").write_text("<script>alert('x')</script> a caption")
    (folder / "b.png").write_bytes(stream.getvalue())
    curate(folder, tmp_path / "pairs", encoder=towers, settings=Settings(threshold=-1.0))
    page = write_report(tmp_path / "pairs").read_text()
    assert "1 of 2 pictures were kept" in page
    assert "link" not in page.partition("<body")[2]
    assert "no caption" in page
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "data:image/jpeg;base64," in page
    assert "http" not in page.replace("http-equiv", "")


def photos(folder: Path, n: int = 6) -> Path:
    """Pictures with captions."""
    from PIL import Image

    folder.mkdir()
    for i in range(n):
        noise = np.random.default_rng(i).integers(0, 255, (60, 90, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{i}.png")
        (folder / f"{i}.txt").write_text(f"a caption, number {i}")
    return folder


def small(**more: Any) -> Any:
    from unseen.curation import Settings

    return Settings(**{"threshold": -1.0, "near": None, "shard_size": 2, **more})


def test_other_columns_of_the_captions_are_columns_of_the_pairs_and_filters(
    towers: TwoTowerEncoder, tmp_path: Path
) -> None:
    source, out = photos(tmp_path / "photos"), tmp_path / "pairs"
    rows = [f"{i}.png,picture {i},{'test' if i % 2 else 'train'},{i},{i}.5,00{i}," for i in range(6)]
    (source / "captions.csv").write_text(
        "\n".join(["file,caption,split,n,score,code,toxicity", *rows, "gone.png,x,,,,,"])
    )
    settings = small(shard_size=4)
    curate(source, out, encoder=towers, settings=settings)
    table = Collection.open(out).table()
    assert {name: str(table.schema.field(name).type) for name in ("split", "n", "score", "code")} == {
        "split": "string",
        "n": "int64",
        "score": "double",
        "code": "string",
    }
    assert "toxicity" not in table.column_names  # nothing stands in it
    for row in table.to_pylist():
        i = int(row["url"][0])
        assert (row["text"], row["n"], row["score"], row["code"]) == (f"picture {i}", i, i + 0.5, f"00{i}")
    columns = open_columns(Collection.open(out))
    assert {"split", "code"} <= set(columns.words)
    assert {"n", "score"} <= set(columns.numeric)
    assert sorted(columns.values("split")[0]) == ["test", "train"]


def test_a_score_takes_the_place_of_a_column_of_its_name(towers: TwoTowerEncoder, tmp_path: Path) -> None:
    source, out = photos(tmp_path / "photos"), tmp_path / "pairs"
    rows = [f"{i}.png,picture {i},{i}" for i in range(6)]
    (source / "captions.csv").write_text("\n".join(["file,caption,pwatermark", *rows]))
    curate(source, out, encoder=towers, settings=small())
    assert sorted(Collection.open(out).table(["pwatermark"])["pwatermark"].to_pylist()) == [0, 1, 2, 3, 4, 5]
    x = np.random.default_rng(0).normal(size=(40, 64)).astype(np.float32)
    about = {"name": towers.name, "fingerprint": towers.fingerprint, "dim": towers.dim}
    head = train_head(x, np.arange(40) % 2, name="watermark", encoder=about, folds=0)
    curate(source, out, encoder=towers, heads=[head], settings=small())
    table = Collection.open(out).table()
    assert table.column_names.count("pwatermark") == 1
    assert max(table["pwatermark"].to_pylist()) <= 1


@pytest.mark.parametrize(("error", "tries"), [(ValueError, 1), (RuntimeError, 2)])
def test_what_is_wrong_with_the_input_is_not_tried_again(
    towers: TwoTowerEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception], tries: int
) -> None:
    calls = []

    def broken(*args: Any) -> Any:
        calls.append(args)
        raise error("no column of URLs")

    monkeypatch.setattr(stages, "parse_unit", broken)
    with pytest.raises(error, match=r"the input could not be parsed, so nothing can be counted: .*no column of URLs"):
        curate(photos(tmp_path / "photos"), tmp_path / "pairs", encoder=towers, settings=small())
    assert len(calls) == tries


def full_disk(*args: Any, **more: Any) -> Any:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_stops_the_stage_and_the_books_are_written(
    towers: TwoTowerEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out, calls = photos(tmp_path / "photos"), tmp_path / "pairs", []
    real = stages.write_shard

    def full(*args: Any, **more: Any) -> Any:
        calls.append(args[1])
        full_disk()

    monkeypatch.setattr(stages, "write_shard", full)
    found = curate(source, out, encoder=towers, settings=small())
    assert calls == [0]
    assert [one.number for one in found.failures] == [0]
    assert "the disk is full" in found.failures[0].error
    assert (found.accounting.of("download"), found.accounting.waiting) == ({"its shard failed": 2}, 4)
    assert Accounting.load(out / "accounting.json") == found.accounting
    monkeypatch.setattr(stages, "write_shard", real)
    assert curate(source, out, encoder=towers, settings=small()).accounting.kept == 6


def test_a_disk_that_takes_a_part_of_an_array_is_full(
    towers: TwoTowerEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NumPy tells no number of the error then, and `write_folder` none either."""
    source, out, calls = photos(tmp_path / "photos"), tmp_path / "pairs", []

    def part(file: Any, array: Any) -> None:
        calls.append(file)
        raise OSError("429312 requested and 139136 written")

    with monkeypatch.context() as broken:
        broken.setattr(stages.np, "save", part)
        found = curate(source, out, encoder=towers, settings=small(), stages=("parse", "fetch", "embed"))
    assert len(calls) == 1
    assert "the disk is full" in found.failures[0].error
    assert curate(source, out, encoder=towers, settings=small()).accounting.kept == 6


@pytest.mark.parametrize("where", ["parse_unit", "plan", "settle"])
def test_a_full_disk_before_there_are_books_is_one_sentence(
    towers: TwoTowerEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    source, out = photos(tmp_path / "photos"), tmp_path / "pairs"
    with monkeypatch.context() as broken:
        broken.setattr(stages if where == "parse_unit" else pipeline, where, full_disk)
        with pytest.raises((OSError, RuntimeError), match="the disk is full"):
            curate(source, out, encoder=towers, settings=small())
    assert curate(source, out, encoder=towers, settings=small()).accounting.kept == 6


def test_when_all_shards_fail_the_books_say_so(
    towers: TwoTowerEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: Any, **more: Any) -> Any:
        raise RuntimeError("broken")

    monkeypatch.setattr(stages, "write_shard", broken)
    found = curate(photos(tmp_path / "photos"), tmp_path / "pairs", encoder=towers, settings=small())
    assert (len(found.failures), found.accounting.kept) == (3, 0)


def test_a_collection_stays_whole_until_its_new_choice_is_whole(
    towers: TwoTowerEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = photos(tmp_path / "photos"), tmp_path / "pairs"
    curate(source, out, encoder=towers, settings=small())
    before, real, calls = digests(out), stages.write_shard, []

    def broken(*args: Any, **more: Any) -> Any:
        calls.append(args)
        if len(calls) > 1:
            full_disk()
        return real(*args, **more)

    monkeypatch.setattr(stages, "write_shard", broken)
    settings = small(threshold=None, target_keep=0.5)
    found = curate(source, out, encoder=towers, settings=settings, stages=["select"])
    assert found.failures
    assert len(Collection.open(out)) == found.accounting.kept == 6
    assert digests(out) == before
    monkeypatch.setattr(stages, "write_shard", real)
    assert curate(source, out, encoder=towers, settings=settings, stages=["select"]).accounting.kept == 3


def test_what_a_killed_run_left_is_removed_or_put_back(towers: TwoTowerEncoder, tmp_path: Path) -> None:
    source, out = photos(tmp_path / "photos"), tmp_path / "pairs"
    curate(source, out, encoder=towers, settings=small())
    before = digests(out)
    (out / "shards").rename(out / "work" / "replaced")  # killed between two renames
    left = [out / "work/fetched/shards/.00003.0123abcd", out / "work/embedded/.00001.partial-0123abcd"]
    left.append(out / "work/fetched/shards/.00004.old-0123abcd")
    for place in left:
        place.mkdir()
    (out / "work/parsed/.0123abcd.00000.parquet").write_bytes(b"half")
    curate(source, out, encoder=towers, settings=small(), stages=["fetch"])
    assert digests(out) == before
    assert not list((out / "work").rglob(".*"))


def test_another_folder_of_the_process_and_changed_files_are_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos(tmp_path / "photos")
    (tmp_path / "else").mkdir()
    monkeypatch.chdir(tmp_path)
    curate("photos", "pairs", settings=small(), stages=["parse"])
    monkeypatch.chdir(tmp_path / "else")
    found = curate("../photos", "../pairs", settings=small(), stages=["fetch"])
    assert found.accounting.dropped == {}
    with pytest.raises(ValueError, match="must not lie inside its input"):
        curate("../photos", "../photos/pairs", settings=small(), stages=["parse"])
    (tmp_path / "photos" / "0.txt").write_text("quite another caption")
    with pytest.raises(ValueError, match="begun with another input"):
        curate("../photos", "../pairs", settings=small(), stages=["parse"])


def test_a_run_goes_on_at_another_pace_and_names_what_else_differs(tmp_path: Path) -> None:
    from unseen.curation.fetch import Politeness
    from unseen.methods.curation.laion.accept import Acceptance

    photos(tmp_path / "photos")
    out = tmp_path / "pairs"
    curate(tmp_path / "photos", out, settings=small(), stages=["parse", "fetch"])
    slow = small(polite=Politeness(delay=2.0, timeout=3.0, per_host=1))
    curate(tmp_path / "photos", out, settings=slow, stages=["fetch"])
    other = small(polite=Politeness(max_bytes=5000), acceptance=Acceptance(min_size=40))
    with pytest.raises(ValueError, match=r"begun with max_bytes 33554432, not 5000; min_size 0, not 40: say the same"):
        curate(tmp_path / "photos", out, settings=other, stages=["fetch"])
    file = next(out.rglob("manifest.json"))
    old = json.loads(file.read_text()) | {"fetch": small().for_input(is_local=True).digest_with_pace()}
    del old["settings"]  # as it was before they were kept
    file.write_text(json.dumps(old))
    with pytest.raises(ValueError, match="another input or other settings of stage 'fetch'"):
        curate(tmp_path / "photos", out, settings=slow, stages=["fetch"])
    curate(tmp_path / "photos", out, settings=small(), stages=["fetch"])


@pytest.mark.parametrize("encoder", ["lite-clip", "lite-clip?top=5"])
def test_copies_lie_further_apart_by_the_default_encoder(encoder: str) -> None:
    from unseen.curation.settings import usual_near

    assert (usual_near(encoder), usual_near("open_clip:ViT-B-32/openai")) == (0.5, 0.9)


def test_the_library_takes_the_cosine_of_the_encoder_as_the_command_does(
    towers: TwoTowerEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import Image

    from unseen.curation import Settings

    asked: list[float] = []

    def one_of_each(own: Any, order: Any, near: float, alike: Any, seed: int) -> Any:
        asked.append(near)
        return np.arange(len(own))

    monkeypatch.setattr("unseen.curation.deciding.one_of_each", one_of_each)
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(3):
        Image.new("RGB", (64, 64), (80 * i, 9, 9)).save(folder / f"{i}.png")
        (folder / f"{i}.txt").write_text(f"a fine caption {i}")
    curate(folder, tmp_path / "usual", encoder=towers, settings=Settings(threshold=-1.0))
    curate(folder, tmp_path / "own", encoder=towers, settings=Settings(threshold=-1.0, near=0.7))
    monkeypatch.setattr(towers, "name", "lite-clip")
    curate(folder, tmp_path / "lite", encoder=towers, settings=Settings(threshold=-1.0))
    assert asked == [0.9, 0.7, 0.5]
    with pytest.raises(ValueError, match='near must be "usual" or lie in'):
        Settings(near="far")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["text", "similarity", "nsfw", "offset"])
def test_a_head_that_would_overwrite_a_column_is_refused_before_anything(
    name: str, towers: TwoTowerEncoder, tmp_path: Path
) -> None:
    about = {"name": towers.name, "fingerprint": towers.fingerprint, "dim": towers.dim}
    x = np.random.default_rng(0).normal(size=(20, 64))
    head = train_head(x, np.repeat([0, 1], 10), name=name, encoder=about, folds=0)
    with pytest.raises(ValueError, match="must not be named"):
        curate(photos(tmp_path / "photos", 1), tmp_path / "pairs", encoder=towers, heads=[head], settings=small())
    assert not (tmp_path / "pairs").exists()


def test_resized_pictures_have_features_of_their_own_in_the_cache(
    towers: TwoTowerEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from unseen.methods.curation.laion.accept import Acceptance

    monkeypatch.setenv("UNSEEN_CACHE", str(tmp_path / "cache"))
    source = photos(tmp_path / "photos", 3)
    cut = small(acceptance=Acceptance(resize="center_crop", size=40))
    found = []
    for i, (settings, cache) in enumerate([(small(), True), (cut, True), (cut, False)]):
        out = tmp_path / str(i)
        curate(source, out, encoder=towers, settings=settings, cache=cache)
        found.append(np.asarray(Collection.open(out).embeddings("image")))
    np.testing.assert_array_equal(found[1], found[2])
    assert np.abs(found[0].astype(float) - found[1]).max() > 0.01


def test_the_json_beside_a_picture_says_nothing_of_another_shard(towers: TwoTowerEncoder, tmp_path: Path) -> None:
    curate(photos(tmp_path / "photos"), tmp_path / "pairs", encoder=towers, settings=small())
    for shard in Collection.open(tmp_path / "pairs").shards:
        with tarfile.open(shard.folder / "images.tar") as archive:
            for info in (one for one in archive if one.name.endswith(".json")):
                told = json.load(archive.extractfile(info))  # type: ignore[arg-type]
                assert {"uid", "text"} <= set(told)
                assert not {"offset", "size"} & set(told)


def test_texts_of_more_than_a_gigabyte_would_be_planned_and_repeats_across_units_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two tables that share URLs: the second meets the filter that the first filled."""
    from unseen.curation import planning

    source = tmp_path / "tables"
    source.mkdir()
    for n in range(2):
        rows = [f"http://x.org/{i}.jpg,caption {n} of {i}" for i in range(2000 * n, 2000 * n + 3000)]
        (source / f"{n}.csv").write_text("url,text\n" + "\n".join(rows))
    monkeypatch.setattr(planning, "STRETCH", 500)
    found = curate(source, tmp_path / "pairs", settings=small(bloom_error=0.05, shard_size=1000), stages=["parse"])
    (met,) = [n for (_, reason), n in found.accounting.dropped.items() if reason == planning.SAME_URL]
    assert 1000 < met <= 1000 + 0.05 * 5000  # the filter errs as it says, and forgets none
    assert found.accounting.waiting == 6000 - met
    row = pq.read_table(tmp_path / "pairs/dropped.parquet").to_pylist()[0]
    assert row["detail"] == "a new URL is taken for an old one with probability 0.05"


def test_settings_that_say_two_things_or_nonsense_are_refused() -> None:
    from unseen.curation import Settings

    assert Settings().threshold == "laion-5b"
    for wrong in (
        {"threshold": "laion-5b", "target_keep": 0.5},
        {"threshold": float("nan")},
        {"target_keep": {"en": 0.5}},
        {"threshold": {"en": 0.3}},
    ):
        with pytest.raises(ValueError, match=r"threshold|target_keep"):
            Settings(**wrong)


def test_a_word_in_place_of_a_list_of_words_is_refused(tmp_path: Path) -> None:
    from unseen.methods.curation.laion.safety import read_rules

    (tmp_path / "rules.json").write_text('[{"name": "x", "action": "drop", "keywords": "bad"}]')
    with pytest.raises(ValueError, match="keywords must be a list"):
        read_rules(tmp_path / "rules.json")
