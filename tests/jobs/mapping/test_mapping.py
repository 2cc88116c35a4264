"""`unseen map` through a real process, and the job behind it."""

from __future__ import annotations

import dataclasses
import functools
import html
import os
import re
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import pytest

import in_process
import pages
import processes
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.taxonomies import load
from unseen.jobs.mapping import job as mapping
from unseen.jobs.mapping.job import Mapper, learn, read_pairs, read_phrases
from unseen.jobs.mapping.page import Answers, write_page
from unseen.methods.baselines.nearest_name import NearestName

TABLE = """name,parent,synonyms
animal,,living thing
bird,animal,feathered animal
owl,bird,barn owl|night bird
eagle,bird,sea eagle|golden eagle
fish,animal,animal with fins
shark,fish,white shark|big fish
carp,fish,koi|pond fish
ray,fish,
"""
QUICK = ["--methods", "text2node", "--set", "mapper=cnn", "--set", "hidden=32", "--set", "dim=32"]
SMALL: dict[str, Any] = {"mapper": "mean", "dim": 4, "walks": 1, "epochs": 1, "node_epochs": 1, "least_steps": 0}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tree.csv").write_text(TABLE)
    (tmp_path / "phrases.csv").write_text("number,phrase\n1,a white owl\n2,koi in a pond\n3,\n4,stingray of the sea\n")
    (tmp_path / "pairs.csv").write_text("phrase,node\nstingray,ray\nmanta of the sea,ray\n")
    terms = "\n".join(f"[Term]\nid: X:{i}\nname: {n}\nis_a: X:0\n" for i, n in enumerate(["owl", "shark"], 1))
    (tmp_path / "tree.obo").write_text(f"format-version: 1.2\n\n[Term]\nid: X:0\nname: animal\n\n{terms}\n")
    return tmp_path


def unseen(folder: Path, *arguments: str, code: int = 0) -> Any:
    done = processes.run(
        [sys.executable, "-m", "unseen.cli", *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "120"},
    )
    assert done.returncode == code, done.stderr[-2000:]
    return done


@pytest.mark.slow
def test_phrases_are_mapped_with_path_and_vectors_and_the_mapper_is_used_again(folder: Path) -> None:
    first = unseen(
        folder, "map", "--taxonomy", "csv:tree.csv", "phrases.csv", "--pairs", "pairs.csv", "--k", "2",
        "--vectors", "v.npy", "--model", "mapper", *QUICK,
    )  # fmt: skip
    assert "1 have no known word and no node" in first.stderr
    assert "text2node: of 11 phrases that were taken away (synonyms), " in first.stderr
    table = pd.read_csv(folder / "mapped.csv", keep_default_na=False)
    assert table.columns.tolist() == ["phrase", "rank", "node", "name", "score", "path"]
    assert len(table) == 7
    best = table[table["rank"] == 1].set_index("phrase")
    assert best.path["a white owl"].endswith("bird > animal")
    assert best.path["koi in a pond"] == "carp > fish > animal"
    assert best.node["stingray of the sea"] == "ray"  # named in the pairs alone
    assert best.node[""] == ""
    vectors = np.load(folder / "v.npy")
    assert vectors.shape == (4, 32)
    assert np.linalg.norm(vectors, axis=1).round(4).tolist() == [1, 1, 0, 1]
    assert {file.suffix for file in (folder / "mapper").iterdir()} == {".json", ".safetensors"}

    (folder / "tree.csv").unlink()
    unseen(folder, "map", "phrases.csv", "--model", "mapper", "--k", "2", "--out", "again.csv")
    assert (folder / "again.csv").read_bytes() == (folder / "mapped.csv").read_bytes()
    unseen(folder, "map", "phrases.csv", "--model", "mapper", "--below", "bird", "--out", "birds.csv")
    birds = pd.read_csv(folder / "birds.csv", keep_default_na=False)
    assert set(birds.node) == {"", "bird", "owl", "eagle"}
    unseen(
        folder, "map", "phrases.csv", "--model", "mapper", "--taxonomy", "csv:tree.csv", "--k", "2", "--out", "3.csv"
    )
    assert (folder / "3.csv").read_bytes() == (folder / "mapped.csv").read_bytes()  # the same call once more
    for more in (["--taxonomy", "csv:t.csv"], ["--words", "wordllama"], ["--seed", "0"]):
        told = unseen(folder, "map", "phrases.csv", "--model", "mapper", *more, code=1).stderr
        assert f"is a mapper that has learned csv:tree.csv; leave {more[0]} out" in told
    mapper = Mapper.load(folder / "mapper")
    assert mapper.map([None, float("nan"), "an owl"], k=1).phrase.tolist() == ["", "", "an owl"]  # type: ignore[list-item]
    with pytest.raises(TypeError, match="phrases must be a list of strings; got one string"):
        mapper.map("an owl")
    with pytest.raises(ValueError, match="phrases must hold at least one"):
        mapper.vectors([])


def test_whole_phrases_may_be_read_by_a_sentence_encoder_also_after_loading(folder: Path) -> None:
    mapper = learn(load("csv:" + str(folder / "tree.csv")), method="text2node", words="minilm", hidden=32, dim=32)
    assert mapper.method.get_params()["mapper"] == "cnn"
    found = mapper.map(["a bird that is awake at night", "", "fish with sharp teeth"], k=2)
    assert found.node.tolist()[:2] == mapper.map(["a bird that is awake at night"], k=2).node.tolist()
    assert found[found.phrase == ""].node.tolist() == [""]
    mapper.save(folder / "m")
    again = Mapper.load(folder / "m")
    pd.testing.assert_frame_equal(again.map(["a bird that is awake at night", "", "fish with sharp teeth"], k=2), found)
    assert np.allclose(np.linalg.norm(again.vectors(["koi", "", "sharks"]), axis=1), [1, 0, 1], atol=1e-5)


def test_an_obo_file_is_mapped_to(folder: Path) -> None:
    (folder / "phrases.txt").write_text("an owl\n\nwhite shark\n")
    unseen(folder, "map", "--taxonomy", "obo:tree.obo", "phrases.txt", "--k", "1", *QUICK)
    assert pd.read_csv(folder / "mapped.csv").path.tolist() == ["owl > animal", "shark > animal"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["phrases.csv"], "taxonomy is needed to learn"),
        (["--taxonomy", "banana", "phrases.csv"], "taxonomy must be icd10cm"),
        (["--taxonomy", "csv:tree.csv", "phrases.csv", "--vectors", "v.txt"], "vectors must end in .npy"),
        (["--taxonomy", "csv:tree.csv", "pairs.csv", "--column", "fraise"], "did you mean 'phrase'"),
        (
            ["--taxonomy", "csv:tree.csv", "phrases.csv", "--words", "glove"],
            "words must be wordllama, fasttext, a text encoder",
        ),
        (["--taxonomy", "csv:tree.csv", "phrases.csv", "--out", "no/such/x.csv"], "out: there is no folder 'no/such'"),
        (["--taxonomy", "csv:tree.csv", "phrases.csv", "--vectors", "no/v.npy"], "vectors: there is no folder 'no'"),
        (["--taxonomy", "csv:tree.csv", "phrases.csv", "--below", "zzz"], "no class is called 'zzz'"),
        (["--taxonomy", "csv:tree.csv", "phrases.csv", "--set", "random_state=3"], "take random_state; say --seed"),
        (
            ["--taxonomy", "csv:tree.csv", "phrases.csv", "--methods", "shot"],
            "--methods must be some of nearest-name, text2node; got 'shot'",
        ),
        (
            ["--taxonomy", "csv:tree.csv", "phrases.csv", "--methods", "nearest-name,text2node", "--no-check"],
            "methods must be one if nothing is checked",
        ),
    ],
)
def test_mistakes_are_one_line(folder: Path, arguments: list[str], told: str) -> None:
    lines = in_process.unseen(folder, "map", *arguments, code=1).stderr.splitlines()
    assert told in lines[-1]
    assert lines[-1].startswith("unseen: ")


def test_a_pair_whose_node_is_none_is_named_with_its_row(folder: Path) -> None:
    (folder / "pairs.csv").write_text("phrase,node\na,owl\nb,dragon\n")
    with pytest.raises(ValueError, match="row 2: no class is called 'dragon'"):
        read_pairs(folder / "pairs.csv", load(f"csv:{folder / 'tree.csv'}"))
    (folder / "pairs.csv").write_text("Phrase,Node\na,001\n")
    (folder / "tree.csv").write_text("name,parent\nroot,\n001,root\n")
    assert read_pairs(folder / "pairs.csv", load(f"csv:{folder / 'tree.csv'}")).labels.tolist() == [1]
    (folder / "latin.txt").write_bytes("caf\u00e9\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"latin\.txt must be in UTF-8"):
        read_phrases(folder / "latin.txt")
    (folder / "empty.txt").write_text("\n")
    with pytest.raises(ValueError, match="there is no phrase"):
        read_phrases(folder / "empty.txt")


def test_words_of_phrases_are_read_beyond_the_limit_of_a_file_of_vectors(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "v.txt").write_text("the 1 0\nof 0 1\nBird 1 1\nbanana 0 2\n")
    monkeypatch.setattr(mapping, "read_vectors", functools.partial(mapping.read_vectors, limit=1))
    tree = load(f"csv:{folder / 'tree.csv'}")
    method = learn(tree, method="text2node", words=str(folder / "v.txt"), **SMALL).method
    assert method.words_.words == ("the", "bird")
    assert method.left_out_ > 0


# -- the check ---------------------------------------------------------------------------------------------


class Recorded(NearestName):
    """A mapper of another package, which keeps what it was shown."""

    card = dataclasses.replace(NearestName.card, slug="recorded", title="Of another package")
    shown: ClassVar[list[list[str]]] = []

    def fit(self, *, source: Domain, classes: ClassSpace, encoder: Any = None) -> Self:
        self.shown.append([str(text) for text in source.x])
        return super().fit(source=source, classes=classes, encoder=encoder)  # type: ignore[no-any-return]


@pytest.fixture
def recorded(install: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> type[Recorded]:
    install("methods", recorded=Recorded)
    monkeypatch.setattr(Recorded, "shown", [])
    return Recorded


def test_a_mapper_of_another_package_enters_by_its_card_and_is_never_shown_what_it_is_asked(
    folder: Path, recorded: type[Recorded]
) -> None:
    tree = load(f"csv:{folder / 'tree.csv'}")
    assert "recorded" in mapping.mappers()
    found = mapping.check(tree, of=("recorded",), words="wordllama")
    assert found is not None
    assert (found.asked, found.n) == ("synonyms", 11)
    kept = Counter(recorded.shown[0])
    gone = Counter(tree.phrases.x.tolist()) - kept
    assert gone.total() == 11
    assert set(tree.classes.names) <= kept.keys()  # every node keeps its name
    assert learn(tree, method="recorded", words="wordllama").map(["koi"], k=1).node.tolist() == ["carp"]


def test_with_pairs_a_fifth_of_them_is_asked_for_and_every_name_is_known(
    folder: Path, recorded: type[Recorded]
) -> None:
    tree = load(f"csv:{folder / 'tree.csv'}")
    animals = ("owl", "carp", "ray", "shark", "eagle")
    texts = [f"{colour} {animal}" for colour in ("red", "grey", "tiny", "old", "wild") for animal in animals]
    y = np.array([tree.classes.index(text.split()[1]) for text in texts])
    pairs = Domain(x=np.array(texts), y=y, kind="text", classes=tree.classes, name="pairs")
    found = mapping.check(tree, pairs, of=("recorded",), words="wordllama")
    assert found is not None
    assert (found.asked, found.n) == ("a fifth of the pairs", 5)
    assert len(set(texts) - set(recorded.shown[0])) == 5
    assert set(tree.phrases.x.tolist()) <= set(recorded.shown[0])
    assert found.figures["recorded"]["first"] == 1.0  # each of them names its node


def test_what_stands_twice_is_not_asked_for_since_the_other_would_answer(folder: Path) -> None:
    tree = load(f"csv:{folder / 'tree.csv'}")
    synonyms = tree.phrases.take(np.setdiff1d(np.arange(len(tree.phrases)), mapping._first_names(tree.phrases)))
    assert mapping.check(tree, synonyms, words="wordllama") is None  # each synonym is a pair, too
    y = np.repeat(tree.classes.index("owl"), 40)
    again = Domain(x=np.array(["Night-bird!"] * 40), y=y, kind="text", classes=tree.classes)
    found = mapping.check(tree, again, words="wordllama")
    assert found is not None
    assert (found.asked, found.n) == ("synonyms", 10)


def test_of_several_methods_the_one_is_used_that_finds_more(folder: Path) -> None:
    told = in_process.unseen(
        folder, "map", "--taxonomy", "csv:tree.csv", "phrases.csv", "--methods", "text2node,nearest-name", "--model",
        "mapper", "--words", "wordllama",
    ).stderr  # fmt: skip
    found = mapping.check(load(f"csv:{folder / 'tree.csv'}"), of=mapping.mappers(), words="wordllama")
    assert found is not None
    assert f"{found.best} is used" in told
    assert Mapper.load(folder / "mapper").method.card.slug == found.best
    assert mapping.Check("", 1, {"a": {"mrr": 0.2}, "b": {"mrr": 0.3}, "c": {"mrr": 0.3}}).best == "b"


def test_where_no_node_has_a_second_name_nothing_is_checked(folder: Path) -> None:
    (folder / "tree.csv").write_text("name,parent\nroot,\nleft,root\nright,root\n")
    done = in_process.unseen(folder, "map", "--taxonomy", "csv:tree.csv", "phrases.csv", code=0)
    assert "nothing could be checked" in done.stderr
    told = in_process.unseen(
        folder, "map", "--taxonomy", "csv:tree.csv", "phrases.csv", "--methods", "text2node,nearest-name", code=1
    ).stderr
    assert "methods must be one: too few nodes have a second name" in told


# -- the page ------------------------------------------------------------------------------------------------


def test_bands_hold_each_phrase_once_and_equal_scores_together() -> None:
    scores = np.array([0.1] * 30 + [0.5] * 10 + [0.5] * 30 + [0.9] * 30)
    right = np.arange(100) % 2 == 0
    bands = mapping._bands(scores, right)
    assert sum(band.n for band in bands) == 100
    assert sum(band.right for band in bands) == 50
    assert [(band.low, band.high) for band in bands] == [(0.1, 0.1), (0.5, 0.5), (0.9, 0.9)]
    assert mapping._bands(scores[:30], right[:30]) == ()  # too few to tell


def test_the_page_has_the_figures_of_the_check_and_the_doubtful_answers_first(folder: Path) -> None:
    tree = load(f"csv:{folder / 'tree.csv'}")
    mapper = learn(tree, words="wordllama")
    table = mapper.map(["koi", "a white owl", "", "stingray of the sea"], k=3)
    found = mapping.check(tree, words="wordllama")
    assert found is not None
    other = {"first": 0.125, "among ten": 0.5, "mrr": 0.25, "hops": 2.5}
    found = dataclasses.replace(found, figures={**found.figures, "text2node": other})
    given = Answers(mapper, table, found, file="mapped.csv", model="mappers/a", command="unseen map phrases.csv")
    write_page(given, folder / "page.html")
    said = pages.text_of(folder / "page.html")
    best = found.figures["nearest-name"]
    assert f"In a check, {100 * best['first']:.0f} % of {found.n} phrases find their node, " in said
    for slug, row in found.figures.items():
        figures = f"{100 * row['first']:.1f} {100 * row['among ten']:.1f} {row['mrr']:.3f} {row['hops']:.1f}"
        assert f"{slug} {figures}" in said
    assert "Of your 4 phrases, 1 stands in the taxonomy by its very words" in said
    assert "1 has no node" in said
    answers = said.partition("Answers, the doubtful first")[2]
    firsts = table[table["rank"] == 1].set_index("phrase")
    order = sorted(["a white owl", "stingray of the sea"], key=lambda phrase: firsts.loc[phrase, "score"])
    places = [answers.index(f" {phrase} ") for phrase in ("(empty)", *order, "koi")]
    assert places == sorted(places)
    for phrase in ("a white owl", "koi"):
        row = firsts.loc[phrase]
        assert re.search(rf"{phrase} {row['name']} in [a-z >]+ {row['score']:.3f} ", answers)
    assert "unseen map PHRASES --model mappers/a" in said
    assert "unseen map phrases.csv" in said


def test_scores_are_told_by_what_was_right_at_such_scores_and_names_alone_stand_beside(folder: Path) -> None:
    tree = load(f"csv:{folder / 'tree.csv'}")
    mapper = learn(tree, words="wordllama")
    phrases = ["a white owl", "koi in a pond"]
    table = mapper.map(phrases, k=2)
    bands = (mapping.Band(0.0, 0.1, 20, 1), mapping.Band(0.1, 0.2, 20, 7), mapping.Band(0.98, 1.0, 20, 20))
    figures = {"first": 0.5, "among ten": 0.6, "mrr": 0.55, "hops": 1.0}
    found = mapping.Check("synonyms", 60, {"nearest-name": figures}, {"nearest-name": bands})
    names = table.assign(node="carp", name="carp")
    write_page(Answers(mapper, table, found, names), folder / "page.html")
    said = pages.text_of(folder / "page.html")
    assert "0.100 to 0.200 20 35" in said
    assert all(0.2 < score < 0.98 for score in table[table["rank"] == 1]["score"])
    answers = said.partition("Answers, the doubtful first")[2]
    name = table["name"][0]
    assert re.search(rf"a white owl {name} in [a-z >]+ 0\.\d+ 35 \w+ 0\.\d+ carp", answers)
    assert re.search(r"koi in a pond carp in [a-z >]+ 0\.\d+ 35 \w+ 0\.\d+ the same", answers)


def test_where_another_method_answers_the_command_puts_names_alone_beside_it(
    folder: Path, recorded: type[Recorded]
) -> None:
    given = ("map", "phrases.csv", "--taxonomy", "csv:tree.csv", "--words", "wordllama", "--page", "mapped.html")
    done = in_process.unseen(folder, *given, "--methods", "recorded,nearest-name", code=0)
    assert "recorded is used" in done.stderr  # the first of equal ones
    said = pages.text_of(folder / "mapped.html")
    assert "by names alone" in said
    assert re.search(r"koi in a pond carp in fish > animal 0\.\d+ \w+ 0\.\d+ the same", said)


def test_a_page_of_a_saved_mapper_says_that_nothing_was_checked(folder: Path) -> None:
    learn(load(f"csv:{folder / 'tree.csv'}"), words="wordllama").save(folder / "mapper")
    mapper = Mapper.load(folder / "mapper")
    write_page(Answers(mapper, mapper.map(["koi", "owl"], k=1)), folder / "page.html")
    said = pages.text_of(folder / "page.html")
    assert "2 of 2 phrases have a node, by nearest-name" in said
    assert "Nothing was checked here" in said
    assert "1 stands in the taxonomy by its very words (synonyms are not in a saved mapper" in said


BAD = "<script>alert(1)</script>"


def hostile(folder: Path) -> Path:
    """The page of phrases and names that are marks, and long."""
    bad = f"{BAD}{'w' * 90}"
    (folder / "tree.csv").write_text(TABLE.replace("owl,bird", f"owl {bad},bird").replace("koi", f"koi {bad}"))
    mapper = learn(load(f"csv:{folder / 'tree.csv'}"), words="wordllama")
    table = mapper.map([f"white owl {bad}", f"koi {bad}", ""], k=2)
    write_page(Answers(mapper, table, file=bad, model=bad, command=f"unseen map '{bad}'"), folder / "page.html")
    return folder / "page.html"


def test_phrases_and_names_are_text_in_the_page(folder: Path) -> None:
    page = hostile(folder).read_text(encoding="utf-8")
    assert "<script" not in page
    assert page.count(html.escape(BAD)) >= 6


@pytest.mark.browser
def test_the_page_opens_offline_without_a_word_and_fits(browser: Any, folder: Path) -> None:
    pages.check_in_browser(browser, hostile(folder))


def test_the_command_writes_a_page_where_it_is_asked_and_says_so(folder: Path) -> None:
    given = ("map", "phrases.csv", "--taxonomy", "csv:tree.csv", "--words", "wordllama", "--model", "mapper")
    done = in_process.unseen(folder, *given, "--page", "mapped.html", code=0)
    assert "mapped.html shows them, the doubtful first" in done.stderr
    said = pages.text_of(folder / "mapped.html")
    assert "In a check" in said
    assert "unseen map PHRASES --model mapper" in said
    done = in_process.unseen(folder, *given, "--page", "mapper/mapped.html", code=1)
    assert "page: 'mapper/mapped.html' lies in 'mapper', which is read" in done.stderr
    assert "page must end in .html" in in_process.unseen(folder, *given, "--page", "mapped.txt", code=1).stderr
