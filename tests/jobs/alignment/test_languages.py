"""`unseen align --languages`: captions of several tables, translated, trained on, saved, asked again, and refused."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from unseen.bundle import Bundle
from unseen.cli import app
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.pairs import Pairs
from unseen.data.translations import CACHE, LANGUAGE
from unseen.jobs.alignment.conditioning import unify
from unseen.jobs.alignment.job import align, ask_about
from unseen.jobs.alignment.languages import Translating, _beside, _sentences, grouped, multilingual, shown, united
from unseen.jobs.alignment.page import lines, page, remarks
from unseen.jobs.alignment.reading import exam_of, read
from unseen.jobs.alignment.report import ABOUT, PAGE, told_by
from unseen.jobs.alignment.spoken import templates_in
from unseen.methods.multimodal.rs_m_clip import RSMCLIP
from unseen.methods.multimodal.rs_m_clip.sampler import GROUP
from unseen.nn.dual_encoder import dual_encoder, perceptron
from unseen.nn.multilingual_text import Grams, gram_text
from unseen.runtime import reproducible

QUICK: dict[str, Any] = {"epochs": 4, "batch_size": 16, "learning_rate": 5e-3}
COLOURS = {"red": (220, 30, 30), "blue": (30, 40, 220), "green": (20, 160, 60), "white": (245, 245, 245)}
SPANISH = {"red": "rojo", "blue": "azul", "green": "verde", "white": "blanco", "sheet": "hoja", "a": "una"}


class Words:
    """A dictionary of Spanish, and a little German, that counts."""

    name = "words"
    asked = 0

    def __call__(self, texts: Sequence[str], source: str, target: str) -> list[str]:
        """Word by word; nothing of sheet 7."""
        self.asked += len(texts)
        if target == "de":
            return [f"ein Blatt {text.split()[-1]}" for text in texts]
        return ["" if " 7" in text else " ".join(SPANISH.get(word, word) for word in text.split()) for text in texts]


def picture(colour: tuple[int, int, int], i: int) -> Image.Image:
    """A colour with clouds of its own."""
    clouds = np.array(colour) + np.random.default_rng(i).normal(0, 50, (5, 5, 3))
    return Image.fromarray(np.clip(clouds, 0, 255).astype(np.uint8)).resize((48, 48), Image.Resampling.BICUBIC)


def table(where: Path, name: str = "pairs", n: int = 32, first: int = 0, german: bool = True) -> Path:
    """Pictures with English captions, and German ones of some."""
    where.mkdir(exist_ok=True)
    rows = []
    for i in range(first, first + n):
        colour = list(COLOURS)[i % 4]
        picture(COLOURS[colour], i).save(where / f"{i}.png")
        rows.append((f"{i}.png", f"a {colour} sheet {i}", "en"))
        if german and i % 2:
            rows.append((f"{i}.png", f"ein Blatt {i}", "de"))
    pd.DataFrame(rows, columns=["image", "caption", "language"]).to_csv(where / f"{name}.csv", index=False)
    return where / f"{name}.csv"


def exam(where: Path) -> Path:
    """Class folders of the same colours, two pictures of which stand in the table, too."""
    for k, (name, colour) in enumerate(COLOURS.items()):
        (where / "exam" / name).mkdir(parents=True)
        for i in range(3):
            picture(colour, 1000 + 10 * k + i).save(where / "exam" / name / f"{i}.png")
    for i in (4, 8):
        picture(COLOURS["red"], i).resize((40, 40)).save(where / "exam" / "red" / f"known {i}.png")
    return where / "exam"


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No cache is shared."""
    monkeypatch.setenv("UNSEEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("UNSEEN_DATA", str(tmp_path / "data"))


def test_captions_are_translated_learnt_examined_saved_and_asked_again(tmp_path: Path) -> None:
    words, out = Words(), tmp_path / "model"
    bundle, report = multilingual(
        table(tmp_path), ["en", "de", "es"], out=out, translating=Translating(words), settings=QUICK,
        exam=exam(tmp_path), prompts=["a {} sheet", "de=ein {} Blatt"],
    )  # fmt: skip
    assert report.translations == {"de": {"kept": 16}, "es": {"kept": 31, "empty": 1}}
    assert set(report.languages) <= {"en", "de", "es"}
    assert {"aligned", "en alone"} == set(report.recall)
    assert set(report.beside) == {"en alone"}
    assert set(report.beside["en alone"]) == set(report.languages)  # English of both stands side by side
    assert any("mean, en alone" in line for line in lines(report))
    assert set(report.spoken) == {"en", "de", "es"}
    assert {"aligned", "en alone", "chance"} == set(report.accuracy)
    assert report.like_exam >= 1  # two look like pictures of the exam
    assert report.known == 0
    assert report.kept in ("student", "teacher")
    assert bundle.method.spoken_ == ("en", "de", "es")  # type: ignore[attr-defined]
    kept = [json.loads(line) for line in (tmp_path / "model.translations" / CACHE).read_text().splitlines()]
    assert {line["by"] for line in kept} == {"words"}
    before = words.asked
    multilingual(table(tmp_path), ["en", "es"], out=out, translating=Translating(words), settings=QUICK, beside=False)
    assert words.asked == before  # all of it was kept
    new = tmp_path / "new.png"
    picture(COLOURS["green"], 99).save(new)
    answers = Bundle.load(out).predict(new)
    assert len(answers) == 1
    other = ask_about(out, "red,blue", out=tmp_path / "other")
    assert other.classes.names == ("red", "blue")
    assert told_by(tmp_path / "other").accuracy == {}
    assert "Captions in" in (out / PAGE).read_text()
    assert (tmp_path / "other" / ABOUT).exists()


def test_the_source_language_alone_learns_for_as_many_steps_where_it_has_fewer_pictures(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    n = 40
    code = np.array(["en" if i % 4 == 0 else "de" for i in range(n)])
    left = Domain(x=rng.normal(size=(n, 10)).astype(np.float32), kind="features", name="pictures")
    pairs = Pairs(
        left, Domain(x=np.array([f"word {i}" for i in range(n)]), kind="text", name="said"), columns={LANGUAGE: code}
    )
    with reproducible(0):
        towers = dual_encoder(perceptron((10, 8, 6)), gram_text(64, 8, 8, 6), Grams(64).to_json(), 10.0)
    method = RSMCLIP(epochs=3, batch_size=4, validation=0.0, distillation=0.0).fit(pairs=pairs, model=towers)
    assert method.steps_ == 30
    assert _beside(method, pairs, towers, "en", tmp_path)["en alone"].steps_ == 30  # two in an epoch


def test_a_picture_tower_learns_from_crops_and_predicts_files(tmp_path: Path) -> None:
    settings = {**QUICK, "epochs": 2, "n_local": 2, "hidden": 8, "bottleneck": 4, "out_dim": 16}
    out = tmp_path / "model"
    bundle, report = multilingual(
        table(tmp_path, n=16, german=False), ["en"], out=out, crops=True, encoder="pixels?size=24&crop=1",
        settings=settings, classes="red,blue,green,white",
    )  # fmt: skip
    assert bundle.whole
    assert set(report.recall) == {"aligned", "no self-distillation"}
    assert {"teacher_entropy", "teacher_certainty"} <= set(report.monitors)
    assert "its certainty of a picture" in "".join(remarks(report))
    new = tmp_path / "new.png"
    picture(COLOURS["green"], 99).save(new)
    scores = bundle.scores(Domain(x=np.asarray(picture(COLOURS["green"], 99))[None], kind="image"))
    again = Bundle.load(out)
    assert again.predict(new)["class"].tolist()[0] in COLOURS
    torch.testing.assert_close(
        again.scores(Domain(x=np.asarray(picture(COLOURS["green"], 99))[None], kind="image")), scores
    )


def test_translations_that_are_all_dropped_are_told_with_the_reason(tmp_path: Path) -> None:
    def same(texts: Sequence[str], source: str, target: str) -> list[str]:
        return list(texts)

    with pytest.raises(ValueError, match="translator: none of 32 captions into es can be used: 32 same as the source"):
        multilingual(
            table(tmp_path), ["en", "es"], out=tmp_path / "model", translating=Translating(same), settings=QUICK
        )


def test_languages_that_were_not_asked_for_are_left_out_and_told(tmp_path: Path) -> None:
    pairs = table(tmp_path)
    rows = pd.read_csv(pairs)
    rows.loc[[3, 9, 20], ["caption", "language"]] = ["xx", "fr"]
    rows.to_csv(pairs, index=False)
    _, report = multilingual(pairs, ["en", "de"], out=tmp_path / "model", settings=QUICK, beside=False)
    assert "Not asked for, and left out: 3 pairs in fr." in report.notes
    assert set(report.languages) == {"en", "de"}
    assert report.recall["aligned"]["mean"] == pytest.approx(np.mean([of["mean"] for of in report.languages.values()]))
    assert set(report.asked) == {"en", "de"}
    text = "\n".join(lines(report))
    assert f"de ({report.asked['de']} captions)" in text
    assert "chance" in text
    assert "3 pairs in fr" in text


def test_a_column_of_languages_is_found_whatever_its_capitals_and_those_of_its_codes(tmp_path: Path) -> None:
    pairs = table(tmp_path)
    rows = pd.read_csv(pairs).rename(columns={"language": "Language"})
    rows["Language"] = rows["Language"].replace({"de": "DE "})
    rows.to_csv(pairs, index=False)
    _, report = multilingual(
        pairs, ["en", "de"], out=tmp_path / "model", settings=QUICK, beside=False, translating=Translating(Words())
    )
    assert set(report.asked) == {"en", "de"}
    assert report.translations["de"] == {"kept": 16}  # of 32 captions; people wrote the others


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"prompts": ["a {}", "fr=un {}"]},
            r"^prompts: 'fr=un \{\}' is in fr, which is none of the languages, de, en$",
        ),
        (
            {"translating": Translating(source="English")},
            "^source_language must be codes such as en, de, zh; got English$",
        ),
    ],
)
def test_a_language_that_is_not_learnt_or_is_no_code_is_refused(
    tmp_path: Path, change: dict[str, Any], told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        multilingual(tmp_path / "nowhere.csv", ["en", "de"], out=tmp_path / "model", **change)


def test_a_table_named_twice_is_refused(tmp_path: Path) -> None:
    pairs = table(tmp_path, n=8)
    with pytest.raises(ValueError, match=r"^pairs: .*pairs\.csv is named twice; name it once if it is a table"):
        multilingual([pairs, tmp_path / "." / "pairs.csv"], ["en", "de"], out=tmp_path / "model")
    with pytest.raises(ValueError, match="is named twice"):
        read([pairs, pairs])


def test_tables_are_united_and_pictures_that_look_alike_are_one(tmp_path: Path) -> None:
    first = table(tmp_path / "a", n=8, german=False)
    second = table(tmp_path / "b", n=8, first=100, german=False)
    Image.open(tmp_path / "a" / "3.png").resize((96, 96)).save(tmp_path / "b" / "103.png")
    both, lacking = united([first, second], None, None, None, "en")
    assert (len(both), lacking) == (16, 0)
    one, alike = grouped(both)
    assert alike == 1
    keys = one.columns[GROUP]
    assert keys[3] == keys[11]
    assert len(np.unique(keys)) == 15
    truth = exam_of(exam(tmp_path), "image", None, "the pairs")
    assert np.flatnonzero(shown(one, truth)).tolist() == [4]  # of the first table, which has seven others
    # whichever copy of a picture looks like one of the exam, all of them are left out
    held = one.columns[GROUP].copy()
    held[4] = held[2]
    assert np.flatnonzero(shown(one.replace(columns={**one.columns, GROUP: held}), truth)).tolist() == [2, 4]


def test_what_people_wrote_is_not_translated(tmp_path: Path) -> None:
    def german(texts: Sequence[str], source: str, target: str) -> list[str]:
        asked.extend(texts)
        return [f"Übersetzung {text}" for text in texts]

    asked: list[str] = []
    _, report = multilingual(
        table(tmp_path), ["en", "de"], out=tmp_path / "m", translating=Translating(german), settings=QUICK,
        beside=False,
    )  # fmt: skip
    assert len(asked) == 16  # pictures with an even number have no German caption
    assert all(int(text.split()[-1]) % 2 == 0 for text in asked)
    assert report.translations == {"de": {"kept": 16}}


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"languages": ["en", "es"]}, "translator: no caption is in es; name one"),
        ({"languages": ["english please"]}, "languages must be codes"),
        ({"languages": []}, "languages must be codes such as en, de, zh; got none"),
        ({"translating": Translating("no-such-tool {target}")}, "no program 'no-such-tool'"),
        ({"held_out": 1.5}, "held_out must lie in"),
        ({"prompts": ["no place"]}, "prompts must have one place"),
        ({"preset": "banana"}, "preset must be one of default, small, contrastive"),
        ({"crops": True, "encoder": "efficientnet-lite0"}, "crops need a picture tower that learns"),
        ({"text": "banana"}, "text must be grams or byte-pairs"),
    ],
)
def test_what_cannot_be_is_named_before_work(tmp_path: Path, change: dict[str, Any], match: str) -> None:
    given = {"languages": ["en", "de"], "out": tmp_path / "out", "settings": QUICK, **change}
    with pytest.raises(ValueError, match=match):
        multilingual(table(tmp_path, n=8), **given)
    assert not (tmp_path / "out").exists()


def test_the_command_needs_languages_for_what_belongs_to_them(tmp_path: Path) -> None:
    run = CliRunner().invoke(app, ["align", str(table(tmp_path, n=8)), "--out", str(tmp_path / "o"), "--crops"])
    assert run.exit_code != 0
    assert "need --languages" in str(run.exception or run.output)
    both = [str(table(tmp_path, n=8)), "--languages", "en", "--classification", "x", "--out", str(tmp_path / "o")]
    run = CliRunner().invoke(app, ["align", *both])
    assert "languages: both towers learn" in str(run.exception or run.output)


def test_the_command_tells_every_language(tmp_path: Path) -> None:
    given = [str(table(tmp_path)), "--languages", "en,de", "--out", str(tmp_path / "model"), "--no-beside"]
    run = CliRunner().invoke(app, ["align", *given, "--set", "epochs=2", "--set", "batch_size=16"])
    assert run.exit_code == 0, run.output
    assert "by language" in run.output
    report = told_by(tmp_path / "model")
    assert page(report) == (tmp_path / "model" / PAGE).read_bytes()
    assert any("mean of languages" in line for line in lines(report))
    assert ClassSpace(names=Bundle.load(tmp_path / "model").classes.names).names


def test_several_processes_are_refused_before_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A launcher's processes have not joined yet: they wrote into one folder and crashed."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="is trained in one process"):
        multilingual(tmp_path / "pairs.csv", ("en", "de"), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_model_without_english_is_asked_in_a_language_that_it_learnt() -> None:
    english = {"en": ("a picture of a {}.",)}
    assert templates_in(None, "en", ("en", "de")) == english
    assert templates_in(None, "en", ("de",), translated=True) == english  # it will be said in German
    assert templates_in(None, "en", ("de", "it")) == {"de": ("{}",)}
    assert templates_in(None, "de", ("de",)) == {"de": ("{}",)}
    assert templates_in(["ein {}"], "de", ("de",)) == {"de": ("ein {}",)}


def test_classes_of_a_model_without_english_are_told_by_names_alone(tmp_path: Path) -> None:
    pairs = read([table(tmp_path)]).pairs
    german = pairs.take(np.flatnonzero(pairs.columns[LANGUAGE] == "de"))
    bundle, report = multilingual(
        german, ["de"], out=tmp_path / "m", settings=QUICK, beside=False, classes=["rot", "blau"]
    )
    assert report.prompts == ("{}",)
    assert report.notes == ["No template was named in de: classes are asked about by their names alone."]
    assert bundle.method.spoken_ == ("de",)  # type: ignore[attr-defined]
    other = ask_about(tmp_path / "m", "rot,weiss", out=tmp_path / "other", prompts=["de=ein Blatt, {}"])
    assert other.method.spoken_ == ("de",)  # type: ignore[attr-defined]
    assert told_by(tmp_path / "other").prompts == ("ein Blatt, {}",)


def test_translated_sentences_stand_in_place_of_those_of_a_language_that_is_not_learnt(tmp_path: Path) -> None:
    how = Translating(Words()).opened(tmp_path / "out")
    space = ClassSpace(names=("red", "blue"))
    assert set(_sentences(space, {"en": ("a {} sheet",)}, ("es",), how)) == {"es"}
    assert set(_sentences(space, {"en": ("a {} sheet",)}, ("en", "es"), how)) == {"en", "es"}


def test_captions_of_pairs_that_are_all_the_same_are_refused_as_those_of_a_table(tmp_path: Path) -> None:
    pairs = read([table(tmp_path, german=False)]).pairs
    same = pairs.replace(right=pairs.right.replace(x=np.full(len(pairs), "a sheet")))
    for way in (
        lambda: align(same, out=tmp_path / "m"),
        lambda: multilingual(same, ["en"], out=tmp_path / "m"),
        lambda: unify(same, tmp_path / "none", out=tmp_path / "m"),
    ):
        with pytest.raises(ValueError, match="all samples of the right side are the same, 'a sheet'"):
            way()
