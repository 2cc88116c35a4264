"""`unseen tag`: a corpus of translations, a tagger, spans in texts, pages and tables."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import processes
import unseen
from unseen.console import app
from unseen.data.domain import Domain
from unseen.data.loaders.marked import read_marked
from unseen.data.tagged import pieces
from unseen.evaluation.exam import ledger_file
from unseen.jobs.models import TaskModel
from unseen.jobs.tagging import job
from unseen.jobs.tagging.page import corpus_lines, trained_lines, unaligned
from unseen.jobs.tagging.saved import SAVED
from unseen.jobs.tagging.tagger import Sentence, Tagger
from unseen.methods.base import Card
from unseen.methods.span_taggers import (
    Backwards,
    Carried,
    Marked,
    MarkedSentences,
    Projected,
    Projection,
    SpanProjector,
    SpanTagger,
    names_of,
    translations,
)
from unseen.nn.taggers import hashed_letters
from unseen.nn.word_alignment import Alignment

pytest.importorskip("pycrfsuite", reason='no python-crfsuite; pip install "unseen[tagging]"')

NOUNS = {"dose": "dosis", "drug": "droga", "group": "grupo", "risk": "riesgo", "pain": "dolor"}
VERBS = {"falls": "cae", "rises": "sube", "helps": "ayuda", "fails": "falla"}
SET = ["--set", "iterations=30", "--set", "least_count=1"]


def sentences(n: int, seed: int) -> tuple[list[str], list[str]]:
    """CoNLL of sentences in which what follows "because" is a Premise, and their translations with glued signs."""
    rng = np.random.default_rng(seed)
    english, spanish = [], []
    for i in range(n):
        (a, b), (c, d) = ((str(rng.choice([*words])) for words in (NOUNS, VERBS)) for _ in range(2))
        long = i % 3 != 2
        tail = ["because", "the", c, d] if long else []
        words = ["the", a, b, *tail, "."]
        tags = ["O", "O", "O", *(["B-Premise", *["I-Premise"] * 3] if long else []), "O"]
        english.append("\n".join(f"{word} {tag}" for word, tag in zip(words, tags)) + "\n")
        spanish.append(f"el {NOUNS[a]} {VERBS[b]}" + (f" porque el {NOUNS[c]} {VERBS[d]}" if long else "") + ".")
    return english, spanish


def conll(texts: list[str]) -> str:
    """Spanish sentences with their truth, signs glued as translators write them."""
    out = []
    for text in texts:
        words = text.split()
        at = words.index("porque") if "porque" in words else len(words)
        out.append(
            "\n".join(
                f"{word} {'O' if i < at else 'B-Premise' if i == at else 'I-Premise'}" for i, word in enumerate(words)
            )
        )
    return "\n\n".join(out) + "\n"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tag")
    for name, n, seed in (("train", 60, 0), ("test", 20, 1)):
        english, spanish = sentences(n, seed)
        (root / f"{name}.conll").write_text("\n".join(english))
        (root / f"{name}.es.txt").write_text("\n".join(spanish))
        (root / f"{name}.es.conll").write_text(conll(spanish))
    return root


def called(*arguments: Any) -> Any:
    import unseen.jobs.tagging.command  # noqa: F401 - adds the group

    return CliRunner().invoke(app, ["tag", *map(str, arguments)], catch_exceptions=False)


def test_translations_are_annotated_with_how_sure_each_span_is(place: Path, tmp_path: Path) -> None:
    found = called(
        "project", place / "train.conll", "--translations", place / "train.es.txt", "--out", tmp_path / "c.jsonl",
        "--page", tmp_path / "c.html", "--table", tmp_path / "c.csv", "--second", "ibm1",
    )  # fmt: skip
    assert found.exit_code == 0, found.output
    lines = [json.loads(line) for line in (tmp_path / "c.jsonl").read_text().splitlines()]
    assert len(lines) == 60
    right = 0
    for line in lines:
        said = [line["text"][one["start"] : one["end"]] for one in line["spans"]]
        expected = [line["text"][line["text"].index("porque") : -1]] if "porque" in line["text"] else []
        right += said == expected
        assert len(line["confidence"]) == len(said)
    assert right >= 50
    table = pd.read_csv(tmp_path / "c.csv", keep_default_na=False)
    assert table.confidence.is_monotonic_increasing
    assert set(table["class"]) == {"Premise"}
    page = (tmp_path / "c.html").read_text()
    assert '<mark class="c0">' in page
    assert "spans of the source" in found.output


def test_spans_of_tokenized_translations_end_with_their_words(place: Path) -> None:
    found = job.project(place / "train.conll", job.Translated(place / "train.es.conll"))
    truth = read_marked(place / "train.es.conll").domain
    assert found.units == "words"
    right = [a.tolist() == b.tolist() for a, b in zip(found.domain.y, truth.y)]
    assert np.mean(right) > 0.8
    assert any("worth a look" in line for line in corpus_lines(found))


def test_a_tagger_is_learnt_graded_beside_others_saved_and_used_in_a_fresh_process(place: Path, tmp_path: Path) -> None:
    found = called(
        "train", place / "train.conll", "--translations", place / "train.es.conll", "--test", place / "test.es.conll",
        "--model", tmp_path / "m", "--json", *SET,
    )  # fmt: skip
    assert found.exit_code == 0, found.output
    told = json.loads(found.stdout)
    assert told["figures"]["tagger"]["span F1"] > 0.8
    assert told["figures"]["zero-shot"]["span F1"] < 0.5
    assert told["figures"]["tagger"]["partial sentences"] is not None
    code = "import sys; sys.argv = ['unseen', *sys.argv[1:]]; from unseen.cli import main; main()"
    run = [
        "tag",
        "run",
        str(place / "test.es.txt"),
        "--model",
        str(tmp_path / "m"),
        "--out",
        "p.html",
        "--table",
        "p.csv",
    ]
    done = processes.run([sys.executable, "-c", code, *run], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "/ Premise]" in done.stdout
    rows = pd.read_csv(tmp_path / "p.csv")
    assert all(span.startswith("porque") for span in rows.span)
    assert {file.suffix for file in (tmp_path / "m").rglob("*") if file.is_file()} <= {".json", ".safetensors"}


def test_another_engine_stands_beside_the_crf(place: Path) -> None:
    found = job.train(
        place / "train.conll", test=place / "test.conll", encoder="letters",
        settings={"epochs": 4, "hidden": 8, "iterations": 20, "least_count": 1},
    )  # fmt: skip
    assert set(found.figures) == {"tagger", "crfsuite", "simple"}
    assert any("span F1 of the tagger is" in line for line in trained_lines(found))


def test_a_method_is_named_and_the_saved_tagger_says_which_it_was(place: Path, tmp_path: Path) -> None:
    found = called(
        "train", place / "train.conll", "--translations", place / "train.es.txt", "--test", place / "test.es.conll",
        "--method", "whole-or-named", "--set", "least_count=1", "--model", tmp_path / "m",
    )  # fmt: skip
    assert found.exit_code == 0, found.output
    assert "whole-or-named learnt from" in found.output
    assert "words of spans without a link" not in found.output  # nothing is aligned
    assert "a CRF on words (python-crfsuite)" in found.output
    assert json.loads((tmp_path / "m" / "tagger.json").read_text())["method"] == "whole-or-named"
    assert type(Tagger.load(tmp_path / "m").method).__name__ == "WholeOrNamed"
    ran = called("run", place / "test.es.conll", "--model", tmp_path / "m", "--out", tmp_path / "p.html", "--json")
    assert json.loads(ran.stdout)["method"] == "whole-or-named"
    assert "tag · whole-or-named" in (tmp_path / "p.html").read_text()


def test_a_method_without_a_crf_needs_none(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise ImportError("no crfsuite")

    monkeypatch.setattr(job, "require", missing)
    assert job.train(place / "train.conll", method="whole-or-named").figures == {}
    with pytest.raises(ImportError, match="no crfsuite"):
        job.train(place / "train.conll", test=place / "test.conll", method="whole-or-named")


def test_every_arm_learns_from_the_same_translations_which_are_made_once(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    class Counting(Backwards):
        def translate(self, texts: Any) -> list[str]:
            asked.extend(texts)
            return super().translate(texts)

    monkeypatch.setattr(job, "translator_of", lambda name: Counting())
    by = job.Translated(translator="backwards")
    found = job.train(
        place / "train.conll", by, test=place / "test.conll", settings={"iterations": 5, "least_count": 1}
    )
    assert set(found.figures) == {"tagger", "simple", "zero-shot"}
    assert len(asked) == len(set(asked)) == len(set(read_marked(place / "train.conll").domain.x.tolist()))


class Nothing(SpanTagger):
    """A method of another package: it reads a source alone, and marks the first letter."""

    card = Card(slug="nothing", title="t", venue="v", modalities={"text"}, task="spans", needs=(MarkedSentences(),))

    def fit(self, *, source: Domain) -> Nothing:
        self.names_, self.counts_ = names_of(source), {}
        return self

    def mark(self, x: Any) -> list[list[Marked]]:
        return [[Marked(0, 1, 0, 1.0)] for _ in x]


class Whole(SpanProjector):
    """Another package's baseline: a translation is one span as a whole, of the class of the first span."""

    card = Card(
        slug="whole", title="t", venue="v", modalities={"text"}, task="spans", needs=(MarkedSentences(),), baseline=True
    )

    def fit(self, *, source: Domain) -> Whole:
        self.names_, self.counts_ = names_of(source), {}
        return self

    def mark(self, x: Any) -> list[list[Marked]]:
        return [[Marked(0, len(text), 0, 1.0)] for text in x]

    def carry(self, source: Domain, pairs: Any = None, translator: Any = None, aligner: Any = None) -> Any:
        made, names = [], names_of(source)
        for i, (text, said) in enumerate(zip(source.x.tolist(), translations(source, pairs, translator))):
            assert said is not None
            there, targets = tuple(pieces(text)), tuple(pieces(said))
            labels = source.labels[i][:1, 2].tolist()
            spans = tuple(Projected(0, len(targets), names[label], 0.5, sources=(0,)) for label in labels)
            found = Projection(("O",) * len(targets), spans, Counter(spans=len(spans)), ())
            rows = np.array([[0, len(said), label] for label in labels]).astype(np.int64).reshape(-1, 3)
            made.append(Carried(i, text, said, rows, found, Alignment({}), there, targets))
        return made, Counter(sentences=len(made))


def test_a_method_of_another_package_projects_by_its_card(
    place: Path, tmp_path: Path, install: Callable[..., None]
) -> None:
    with pytest.raises(ValueError, match="method must be one of crosslingual-am; got 'whole-or-named'"):
        job.project(place / "train.conll", job.Translated(place / "train.es.txt"), method="whole-or-named")
    install("methods", whole=Whole, nothing=Nothing)
    assert job.projectors() == ("crosslingual-am", "whole")
    given = ["project", place / "train.conll", "--translations", place / "train.es.txt", "--method", "whole"]
    given += ["--out", tmp_path / "es.conll", "--page", tmp_path / "es.html", "--table", tmp_path / "es.csv", "--json"]
    done = called(*given)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["method"] == "whole"
    back = read_marked(tmp_path / "es.conll").domain
    assert all(rows[:, :2].tolist() in ([], [[0, len(text)]]) for text, rows in zip(back.x.tolist(), back.labels))
    told = job.train(place / "train.conll", test=place / "test.conll", method="nothing")
    assert set(told.figures) == {"tagger", "crfsuite", "simple", "whole"}
    assert any("whole" in line for line in trained_lines(told))


def test_a_method_of_another_package_enters_by_its_card(
    place: Path, tmp_path: Path, install: Callable[..., None]
) -> None:
    install("methods", nothing=Nothing)
    found = job.train(place / "train.conll", test=place / "test.conll", method="nothing", settings={})
    assert set(found.figures) == {"tagger", "crfsuite", "simple"}
    assert Tagger.load(found.tagger.save(tmp_path / "m")).mark(["ab"]) == [[Marked(0, 1, 0, 1.0)]]
    for argument, by in (
        ("translations", job.Translated(place / "train.es.txt")), ("aligner", job.Translated(aligner="eflomal")),
        ("translator", job.Translated(translator="apertium:eng-spa")),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=f"{argument}: nothing reads none; leave out"):
            job.train(place / "train.conll", by, method="nothing")


def test_a_method_that_marks_no_spans_and_what_it_does_not_read_are_named(place: Path) -> None:
    with pytest.raises(ValueError, match=r"method must be one of .*whole-or-named.*; got 'shot'"):
        job.train(place / "train.conll", method="shot")
    with pytest.raises(ValueError, match="encoder: whole-or-named reads none; leave out 'letters'"):
        job.train(place / "train.conll", method="whole-or-named", encoder="letters")
    with pytest.raises(ValueError, match="whole-or-named has no parameter 'epochs'"):
        job.train(place / "train.conll", method="whole-or-named", settings={"epochs": 1})
    assert {"crosslingual-am", "whole-or-named"} <= set(job.taggers())


def test_zero_shot_is_by_the_same_encoder(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the two differ in what they learnt from, and in nothing else."""
    seen: dict[str, tuple[Any, ...]] = {}
    kept = job.graded

    def noted(method: Any, given: Any, test: Any) -> Any:
        model = given.get("model")
        seen["zero-shot" if set(given) <= {"source", "model"} else getattr(method, "engine", "simple")] = (
            model,
            method.get_params(),
        )
        return kept(method, given, test)

    monkeypatch.setattr(job, "graded", noted)
    monkeypatch.setattr(job, "token_encoder", lambda name: hashed_letters(8, 64))
    job.train(
        place / "train.conll", job.Translated(place / "train.es.conll"), test=place / "test.es.conll",
        encoder="transformer:place", settings={"epochs": 1, "hidden": 8, "iterations": 5, "least_count": 1},
    )  # fmt: skip
    assert set(seen) == {"gru", "crfsuite", "simple", "zero-shot"}
    assert seen["gru"][0] is not None
    assert seen["zero-shot"] == seen["gru"]


def test_sentences_of_the_test_that_were_learnt_from_are_counted(place: Path, tmp_path: Path) -> None:
    settings = {"iterations": 5, "least_count": 1}
    said: list[str] = []
    again = job.train(place / "train.conll", test=place / "train.conll", settings=settings, say=said.append)
    assert again.shared == 60
    assert said[0] == "caution: 60 of 60 sentences of the test stand in what is learnt from, too"
    assert any("60 of which stand in what was learnt from" in line for line in trained_lines(again))
    (tmp_path / "new.conll").write_text("new O\nbecause B-Premise\n\nTHE O\ndose O\nhelps O\n. O\n")
    (tmp_path / "train.conll").write_text((place / "train.conll").read_text() + "\nthe O\ndose O\nhelps. O\n")
    assert job.train(tmp_path / "train.conll", test=tmp_path / "new.conll", settings=settings).shared == 1
    (tmp_path / "other.conll").write_text("new O\nbecause B-Premise\n")
    other = job.train(place / "train.conll", test=tmp_path / "other.conll", settings=settings)
    assert any("none of them learnt from" in line for line in trained_lines(other))
    translated = job.train(
        place / "train.conll", job.Translated(place / "train.es.txt"), test=place / "train.es.conll", settings=settings
    )
    assert translated.shared == 60


def test_help_says_beside_what_a_tagger_is_graded() -> None:
    told = " ".join(called("train", "--help").output.split())
    assert "graded beside a plain CRF" not in told


def test_texts_with_spans_of_their_own_grade_a_tagger_and_mistakes_are_dashed(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNSEEN_DATA", str(tmp_path / "user"))
    tagger = job.train(place / "train.conll", settings={"iterations": 20, "least_count": 1}).tagger
    tagger.save(tmp_path / "m")
    found = called(
        "run",
        place / "test.conll",
        "--model",
        tmp_path / "m",
        "--out",
        tmp_path / "p.html",
        "--table",
        tmp_path / "p.conll",
    )
    assert found.exit_code == 0, found.output
    page = (tmp_path / "p.html").read_text()
    for metric in ("partial sentences", "token accuracy", "token macro with O", "token F1 Premise"):
        assert metric in found.output
        assert f"<th>{metric}</th>" in page
    assert "A dashed line" in (tmp_path / "p.html").read_text()
    assert list(json.loads(ledger_file().read_text()).values()) == [1]
    assert read_marked(tmp_path / "p.conll").counts["spans"] > 0
    back = Tagger.load(tmp_path / "m")
    assert back.mark(["the dose falls because the risk rises ."]) == tagger.mark(
        ["the dose falls because the risk rises ."]
    )
    assert back.mark([]) == []


def test_markup_in_a_text_stays_text(place: Path, tmp_path: Path) -> None:
    job.train(place / "train.conll", settings={"iterations": 5, "least_count": 1}).tagger.save(tmp_path / "m")
    (tmp_path / "t.txt").write_text("<script>alert(1)</script> because the risk falls .\n")
    called("run", tmp_path / "t.txt", "--model", tmp_path / "m", "--out", tmp_path / "p.html")
    assert "<script>" not in (tmp_path / "p.html").read_text()


def test_invalid_lines_are_counted_and_the_rest_is_projected(place: Path, tmp_path: Path) -> None:
    raw = (place / "train.conll").read_bytes().replace(b"the O", b"th\xe9 O", 1)
    (tmp_path / "a.conll").write_bytes(raw)
    found = job.project(tmp_path / "a.conll", job.Translated(place / "train.es.txt"))
    assert found.read.counts["lines that are no UTF-8"] == 1
    assert (found.read.counts["left out"], len(found.carried)) == (1, 59)
    assert found.carried[0].translation == (place / "train.es.txt").read_text().splitlines()[1]
    assert any("1 lines that are no UTF-8" in line for line in corpus_lines(found))


def test_invalid_lines_of_translations_are_counted_and_named_too(place: Path, tmp_path: Path) -> None:
    raw = (place / "train.es.txt").read_bytes()
    (tmp_path / "es.txt").write_bytes(raw.replace(b"el ", b"\xe9l ", 1))
    found = called(
        "project", place / "train.conll", "--translations", tmp_path / "es.txt", "--out", tmp_path / "c.jsonl"
    )
    assert found.exit_code == 0
    assert "       1  sentences without one" in found.output
    assert "1 left out" in found.output
    assert "line 1: it is no UTF-8" in found.output
    told = called(
        "train", place / "train.conll", "--translations", tmp_path / "es.txt", "--model", tmp_path / "m", "--json", *SET
    )
    assert '"where": "line 1"' in told.stdout
    assert "1 left out" in told.stderr


def test_an_empty_line_is_an_empty_translation_and_shifts_no_other(place: Path, tmp_path: Path) -> None:
    lines = (place / "train.es.txt").read_text().splitlines()
    (tmp_path / "es.txt").write_text("\n".join([*lines[:3], "", *lines[4:]]) + "\n")
    found = job.project(place / "train.conll", job.Translated(tmp_path / "es.txt"))
    assert found.counts["untranslated"] == 1
    assert [one.at for one in found.carried] == [i for i in range(60) if i != 3]
    assert [one.translation for one in found.carried] == [*lines[:3], *lines[4:]]


def test_an_invalid_line_of_json_shifts_no_translation(place: Path, tmp_path: Path) -> None:
    lines = (place / "train.es.txt").read_text().splitlines()
    texts = read_marked(place / "train.conll").domain
    rows = [
        json.dumps({"text": text, "spans": [[a, b, "Premise"] for a, b, _ in own.tolist()]})
        for text, own in zip(texts.x.tolist(), texts.labels)
    ]
    (tmp_path / "en.jsonl").write_text("\n".join(["{no json", *rows[1:]]))
    found = job.project(tmp_path / "en.jsonl", job.Translated(place / "train.es.txt"))
    assert [one.translation for one in found.carried] == lines[1:]
    assert found.read.counts["left out"] == 1
    told = "\n".join(corpus_lines(found))
    assert "en: 1 left out" in told
    assert "line 1: it is no text with spans" in told


def test_translations_stand_beside_sentences_of_several_documents_one_of_them_empty(tmp_path: Path) -> None:
    folder = tmp_path / "brat"
    folder.mkdir()
    texts = {"a": "Ana falls. It rises.\n\nBob helps.\n", "b": "\n", "c": "Eve fails.\n\n\nDan falls.\n"}
    for name, text in texts.items():
        (folder / f"{name}.txt").write_text(text)
        people = [word for word in ("Ana", "Bob", "Eve", "Dan") if word in text]
        notes = (f"T1\tPerson {text.index(word)} {text.index(word) + 3}\t{word}\n" for word in people)
        (folder / f"{name}.ann").write_text("".join(notes))
    lines = ["Ana cae.", "Sube.", "Bob ayuda.", "", "Eve falla.", "Dan cae."]
    (tmp_path / "es.txt").write_text("\n".join(lines) + "\n")
    found = job.project(folder, job.Translated(tmp_path / "es.txt"))
    beside = [("Ana falls.", lines[0]), ("It rises.", lines[1]), ("Bob helps.", lines[2])]
    assert [(one.text, one.translation) for one in found.carried] == [
        *beside, ("Eve fails.", lines[4]), ("Dan falls.", lines[5])
    ]  # fmt: skip
    (tmp_path / "es.txt").write_text("\n".join(filter(None, lines)) + "\n")
    with pytest.raises(ValueError, match=r"of the source, 6 \(1 of them empty, an empty line each\); .* has 5$"):
        job.project(folder, job.Translated(tmp_path / "es.txt"))


def test_a_sentence_that_stands_twice_has_the_translation_of_its_place(tmp_path: Path) -> None:
    (tmp_path / "en.conll").write_text("it B-X\nfalls I-X\n\n" * 3)
    (tmp_path / "es.txt").write_bytes(b"cae\n\xff\nella cae\n")
    found = job.project(tmp_path / "en.conll", job.Translated(tmp_path / "es.txt"))
    assert [(one.at, one.translation) for one in found.carried] == [(0, "cae"), (2, "ella cae")]


def test_words_without_a_link_are_told(place: Path) -> None:
    found = job.project(place / "train.conll", job.Translated(place / "train.es.txt"), settings={"rules": False})
    one = found.carried[0]
    told = unaligned(one, range(len(one.places)))
    assert len(told) == sum(not one.alignment.links.get(i) for i in range(len(one.places)))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"by": job.Translated()}, "translations: name a file of translations, or a translator"),
        ({"settings": {"rate": 1}}, "crosslingual-am has no parameter 'rate'"),
        ({"by": job.Translated("few.txt")}, "translations must be as many as the sentences of the source, 60"),
        ({"source": "none.conll"}, "source: .* marks no span"),
        (
            {"source": "other.conll"},
            "marks no span .*; column 2: its labels are not read, each of which must be O, or one",
        ),
    ],
)
def test_bad_input_is_named(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Any, told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("few.txt").write_text("uno\ndos\n")
    Path("none.conll").write_text("a O\nb O\n")
    Path("other.conll").write_text("Ana PER\nfalls O\n")
    given = {"source": place / "train.conll", "by": job.Translated(place / "train.es.txt"), **change}
    with pytest.raises(ValueError, match=told):
        job.project(given.pop("source"), given.pop("by"), **given)


def test_what_is_no_tagger_and_what_it_does_not_know_is_refused(place: Path, tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "file").write_text("")
    with pytest.raises(ValueError, match="was not written by `unseen tag train`"):
        Tagger.load(tmp_path / "x")
    (tmp_path / "x" / "forecaster.json").write_text("{}")
    with pytest.raises(ValueError, match=r"x' was not written by `unseen tag train`: it is a forecaster$"):
        Tagger.load(tmp_path / "x")
    with pytest.raises(ValueError, match="; there is no folder 'nosuch'"):
        Tagger.load("nosuch")
    with pytest.raises(FileExistsError):
        job.refuse_model(tmp_path / "x")
    tagger = job.train(place / "train.conll", settings={"iterations": 5, "least_count": 1}).tagger
    (tmp_path / "a.conll").write_text("a B-Other\nb I-Other\n")
    with pytest.raises(ValueError, match="marks spans of 'Other', which is none of the tagger's: Premise"):
        job.run(tmp_path / "a.conll", tagger)


TWO = "the dose helps because the risk rises. The drug falls because the pain rises."


@pytest.fixture(scope="module")
def model(place: Path) -> Path:
    job.train(place / "train.conll", settings={"iterations": 20, "least_count": 1}).tagger.save(place / "model")
    return place / "model"


def test_the_same_spans_are_marked_in_a_text_by_run_by_predict_and_by_what_is_served(
    model: Path, tmp_path: Path
) -> None:
    file = tmp_path / "t.txt"
    file.write_text(f"\n  {TWO}\n")
    tagger = Tagger.load(model)
    sentences = TWO.partition(" The")[0], "The drug falls because the pain rises."
    alone = [tagger.mark([text])[0] for text in sentences]
    assert all(alone)  # a span in each
    begin = TWO.index("The")
    expected = [(a, b) for a, b, *_ in alone[0]] + [(a + begin, b + begin) for a, b, *_ in alone[1]]
    assert [(a, b) for a, b, *_ in tagger.mark([TWO])[0]] == expected
    served = SAVED.opened(model)([TWO], 1)[0][0]["spans"]
    assert [(one["start"], one["end"]) for one in served] == expected
    ids, texts, _ = SAVED.read(str(file))
    asked = SAVED.opened(model)(texts, 1)
    assert (ids, len(asked)) == (["t.txt:2"], 1)
    found = called("run", file, "--model", model, "--out", tmp_path / "p.html", "--json")
    told = json.loads(found.stdout)["spans"]
    line = file.read_text().splitlines()[1]
    for spans in (told, asked[0][0]["spans"]):
        assert [(one["start"] - 2, one["end"] - 2) for one in spans] == expected
        assert all(line[one["start"] : one["end"]].startswith("because") for one in spans)


def test_a_tagger_is_opened_and_asked_in_python_like_any_saved_model(model: Path, tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text(f"{TWO}\n")
    saved = unseen.load_model(model)
    assert isinstance(saved, TaskModel)
    by_list, by_path = saved.predict([TWO]), saved.predict(tmp_path / "t.txt")
    expected = SAVED.opened(model)([TWO], 1)[0]
    for table in (by_list, by_path, saved.predict([tmp_path / "t.txt"])):
        assert table.drop(columns="id").to_dict("records") == expected
    assert (by_list["id"].tolist(), by_path["id"].tolist()) == ([0], ["t.txt:1"])
    with pytest.raises(TypeError, match=r"samples\[1\] must be a text, which a tagger reads; got int"):
        saved.predict([TWO, 3])
    with pytest.raises(ValueError, match="there is nothing"):
        saved.predict([])
    with pytest.raises(ValueError, match="not a saved model"):
        unseen.load_model(tmp_path)


def test_a_sentence_of_conll_is_cut_no_further(model: Path, tmp_path: Path) -> None:
    (tmp_path / "t.conll").write_text("\n".join(["the", "dose", ".", "The", "drug", "", "the", "risk", ""]))
    ids, texts, _ = SAVED.read(str(tmp_path / "t.conll"))
    assert ids == ["t.conll:1", "t.conll:7"]
    tagger = Tagger.load(model)
    given: list[list[str]] = []
    tagger.method.mark = lambda x: given.append(list(x)) or [[] for _ in x]  # type: ignore[method-assign]
    tagger.mark(texts)
    tagger.mark([str(text) for text in texts])
    assert given == [["the dose . The drug", "the risk"], ["the dose .", "The drug", "the risk"]]


def test_tables_tell_where_in_the_file_a_span_stands(model: Path, tmp_path: Path) -> None:
    file = tmp_path / "t.txt"
    file.write_text(f"nothing\n\n {TWO}\n")
    for ending in ("csv", "jsonl"):
        called("run", file, "--model", model, "--out", tmp_path / "p.html", "--table", tmp_path / f"p.{ending}")
    rows = pd.read_csv(tmp_path / "p.csv", dtype={"sentence": str})
    assert list(rows) == ["sentence", "document", "line", "start", "end", "class", "confidence", "span"]
    assert set(rows.document) == {"t.txt"}
    lines = file.read_text().splitlines()
    for row in rows.to_dict("records"):
        assert lines[row["line"] - 1][row["start"] : row["end"]] == row["span"]
    objects = [json.loads(line) for line in (tmp_path / "p.jsonl").read_text().splitlines()]
    assert [(one["document"], one["line"], one["begin"]) for one in objects] == [
        ("t.txt", 1, 0), ("t.txt", 3, 1), ("t.txt", 3, 1 + TWO.index("The"))
    ]  # fmt: skip
    for one in objects:
        for span in one["spans"]:
            part = one["text"][span["start"] : span["end"]]
            assert lines[one["line"] - 1][one["begin"] + span["start"] :].startswith(part)
    assert read_marked(tmp_path / "p.jsonl").counts["spans"] == len(rows)


def test_figures_of_bio_tags_say_so(model: Path, place: Path, tmp_path: Path) -> None:
    given = ("run", place / "test.conll", "--model", model, "--out", tmp_path / "p.html")
    assert "token macro (BIO tags) " in called(*given).output
    assert "<th>token micro (BIO tags)</th>" in (tmp_path / "p.html").read_text()
    assert {"token micro", "token macro"} <= json.loads(called(*given, "--json").stdout)["figures"].keys()


def test_a_tagger_is_graded_on_sentences_that_were_cut_without_the_spans() -> None:
    assert all(isinstance(text, Sentence) for text in job._as_asked(["A. B"], "conll"))
    assert not any(isinstance(text, Sentence) for text in job._as_asked(["A. B"], "jsonl"))


def test_where_people_marked_a_span_over_the_end_of_a_sentence_the_tagger_is_asked_about_both(tmp_path: Path) -> None:
    """Gold spans must not tell a tagger where a sentence ends."""
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"text": "Ana met Who. He left.", "spans": [[8, 15, "PER"]]}))
    asked: list[str] = []

    class Noting:
        names_ = ("PER",)

        def mark(self, texts: list[str]) -> list[list[Any]]:
            asked.extend(texts)
            return [[] for _ in texts]

    job.run(path, Tagger(Noting()))  # type: ignore[arg-type]
    assert asked == ["Ana met Who.", "He left."]
