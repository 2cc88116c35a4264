"""The page: complete, closed to the outside, honest where there are no labels."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest

from unseen.report import render

CASES: dict[str, dict[str, Any]] = {
    "closed": {},
    "without labels": {"labels": False},
    "open-partial": {"protocol": "open-partial"},
    "many classes": {"n_classes": 60, "samples": 900},
    "one candidate, one seed": {"candidates": 1, "seeds": 1, "pictures": False},
}


class Page(HTMLParser):
    """The elements and the text of a page."""

    VOID = frozenset({"meta", "link", "img", "input", "br"})

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(source)
        assert not self.open, f"elements left open: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text.append(data)

    @property
    def words(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.text))


def _page(fake: ModuleType, folder: Path, **case: Any) -> str:
    return render(fake.write_fake_run(folder / "run", **case)).read_text(encoding="utf-8")


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_nothing_on_the_page_can_make_a_request_or_run_code(
    fake: ModuleType, tmp_path: Path, case: dict[str, Any]
) -> None:
    source = _page(fake, tmp_path, **case)
    page = Page(source)
    for tag, attributes in page.elements:
        assert tag not in ("script", "iframe", "object", "embed", "base", "form", "a"), tag
        assert not [name for name in attributes if name.startswith("on") or name == "style"], (
            tag,
            attributes,
        )
        for name in ("src", "href", "xlink:href"):
            assert (attributes.get(name) or "data:").startswith("data:"), (tag, attributes)
    style = re.search(r"<style>(.*?)</style>", source, re.S)
    assert style is not None
    assert "url(" not in style[1]
    assert "@import" not in style[1]
    policy = next(a["content"] for t, a in page.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:;")
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in policy


def test_every_question_has_its_section(fake: ModuleType, tmp_path: Path) -> None:
    text = Page(_page(fake, tmp_path)).words
    for title in (
        "What was given",
        "What was chosen, and why",
        "Candidates",
        "Cost against quality",
        "Where it is right and wrong",
        "By class, the hardest first",
        "The features, before and after",
        "Pictures",
        "How labels were kept away",
        "What did not run",
        "To repeat it",
        "Credits and licences",
    ):
        assert title in text, title


def test_the_first_panel_is_the_diagnosis_with_what_each_figure_means(fake: ModuleType, tmp_path: Path) -> None:
    folder = fake.write_fake_run(tmp_path / "run")
    page = Page(render(folder).read_text(encoding="utf-8"))
    diagnosis = json.loads((folder / "results.json").read_text())["diagnosis"]
    assert len(diagnosis["lines"]) == 5
    together = "".join("".join(page.words).split())
    for line in diagnosis["lines"]:
        assert all("".join(text.replace("`", "").split()) in together for text in line.values())
    assert page.words.index("Before any work") < page.words.index("What was given")
    rows = sorted(diagnosis["label_shift"]["classes"], key=lambda row: -abs(row["mlls"] - row["source"]))
    shares = page.words[page.words.index("Estimated class shares") :]
    assert shares.index(rows[0]["name"]) < shares.index(rows[-1]["name"])


def test_teachers_of_a_zoo_have_a_section_where_a_candidate_weighed_them(fake: ModuleType, tmp_path: Path) -> None:
    folder = fake.write_fake_run(tmp_path / "run")
    assert "Which teachers" not in render(folder).read_text(encoding="utf-8")
    results = json.loads((folder / "results.json").read_text())
    results["candidates"][0]["teachers"] = [{"name": fake.NASTY[0], "similarity": 0.4321, "weight": 0.875}]
    (folder / "results.json").write_text(json.dumps(results))
    words = Page(render(folder).read_text(encoding="utf-8")).words
    assert "Which teachers suit the task" in words
    assert f"{fake.NASTY[0]}0.4320.875" in words


def test_a_run_without_a_diagnosis_has_a_page(fake: ModuleType, tmp_path: Path) -> None:
    page = render(fake.write_fake_run(tmp_path / "run", candidates=1)).read_text(encoding="utf-8")
    assert "Before any work" not in page


def test_the_page_names_what_was_given_and_how_to_repeat_it(fake: ModuleType, tmp_path: Path) -> None:
    text = Page(_page(fake, tmp_path, protocol="open-partial")).words
    for said in (
        "sketches/broken 花.png",
        "Leakage: 2 of the 600 samples",
        "2 only in the target",
        "Cat / cat",
        "0123456789abcdef",
        "unseen compare --source photos --target sketches",
        "OpenMoji, CC BY-SA 4.0",
        "needs a model",
        "unseen 0.1.0",
        "rho=0.75",
        "a1b2c3d4e5f60718",
    ):
        assert said in text, said


def test_what_was_not_given_is_not_listed_among_the_settings(fake: ModuleType, tmp_path: Path) -> None:
    folder = fake.write_fake_run(tmp_path / "run")
    results = json.loads((folder / "results.json").read_text())
    results["config"] |= {"model": None, "teachers": {}, "classes": "0123456789abcdef"}
    for row in results["candidates"]:
        row["params"] = {**row["params"], "cap": None}
    (folder / "results.json").write_text(json.dumps(results))
    page = render(folder).read_text()
    assert "None" not in page
    assert "cap=" not in page
    assert "fingerprint of the model" not in page
    assert "<dt>fingerprint of the classes</dt><dd><code>0123456789abcdef</code></dd>" in page


def test_folders_of_the_machine_do_not_enter_the_page(fake: ModuleType, tmp_path: Path) -> None:
    text = _page(fake, tmp_path)
    assert "x.jpg" in text
    assert "/home/me" not in text


def test_the_headline_stands_beside_chance_floor_and_ceiling(fake: ModuleType, tmp_path: Path) -> None:
    text = Page(_page(fake, tmp_path)).words
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    spread = results["candidates"][0]["metrics"]["adapted"]["accuracy"]
    floor = results["references"]["source_only"]["adapted"]
    assert f"glc is right on {100 * spread['mean']:.1f} ± {100 * spread['std']:.1f} % of the target" in text
    assert f"12.5 % by guessing, {100 * floor:.1f} % without adaptation (source-only), 81.0 % for a plain model" in text
    assert "learnt the target's own labels" in text


def test_without_labels_no_accuracy_is_shown_and_the_page_says_so(fake: ModuleType, tmp_path: Path) -> None:
    source = _page(fake, tmp_path, labels=False)
    text = Page(source).words
    assert "nothing here tells" in text
    assert "the target has no label to grade it by" in text
    text = text[: text.index("What the words of this page mean")]
    told = ("measures the accuracy by", "is no accuracy", "no evidence of accuracy")
    for phrase in told:
        text = text.replace(phrase, "")
    assert "accuracy" not in text.lower()
    for word in ("Right", "Wrong", "H-score", "ceiling", "by guessing", "hardest"):
        assert word not in text, word
    assert "What it predicts" in text


def test_open_protocols_show_their_metrics(fake: ModuleType, tmp_path: Path) -> None:
    text = Page(_page(fake, tmp_path, protocol="open-partial")).words
    for word in ("H-score", "known classes", "unknown found", "(unknown)"):
        assert word in text, word
    assert "by guessing" not in text


def test_base_and_new_stand_beside_their_harmonic_mean(fake: ModuleType, tmp_path: Path) -> None:
    folder = fake.write_fake_run(tmp_path / "run")
    results = json.loads((folder / "results.json").read_text())
    results["protocol"] |= {"name": "base-to-new", "headline": "h"}
    results["references"]["metric"] = "h"
    for row in results["candidates"]:
        for metrics in row["metrics"].values():
            metrics |= {"h": metrics["accuracy"], "base": metrics["accuracy"], "new": metrics["accuracy"]}
    results["references"] |= {"ceiling": None}
    (folder / "results.json").write_text(json.dumps(results))
    text = Page(render(folder).read_text(encoding="utf-8")).words
    table = text[text.index("worst seed") :]
    assert table.index("base (with labels)") < table.index("new (without)") < table.index("s per fit")
    assert "H is the harmonic mean of base and new, the accuracies on classes with and without labels" in text


def test_one_seed_has_no_spread(fake: ModuleType, tmp_path: Path) -> None:
    text = Page(_page(fake, tmp_path, candidates=1, seeds=1)).words
    assert "one seed, so there is no spread over seeds" in text
    assert "±" not in text
    assert "Cost against quality" not in text


def test_pictures_are_absent_when_the_run_has_none(fake: ModuleType, tmp_path: Path) -> None:
    page = Page(_page(fake, tmp_path, pictures=False))
    assert "Pictures" not in page.words
    assert not [tag for tag, _ in page.elements if tag == "img"]


def test_names_are_text_whatever_they_hold(fake: ModuleType, tmp_path: Path) -> None:
    source = _page(fake, tmp_path, classes=fake.NASTY)
    page = Page(source)
    for name in fake.NASTY:
        assert name in page.words, name
    assert "<script" not in source
    assert "49" not in re.findall(r"<bdi>(.*?)</bdi>", source)
    assert html.escape("<script>alert(1)</script>") in source


def test_columns_of_tables_are_told(fake: ModuleType, tmp_path: Path) -> None:
    folder = fake.write_fake_run(tmp_path / "run")
    results = json.loads((folder / "results.json").read_text())
    assert "not used" not in render(folder).read_text(encoding="utf-8")
    results["given"]["source"] |= {"features": ["Länge", "<b>"], "notes": ["not used: Art (text)"]}
    (folder / "results.json").write_text(json.dumps(results))
    text = Page(render(folder).read_text(encoding="utf-8")).words
    assert "Länge, <b>" in text
    assert "source: not used: Art (text)" in text


def test_an_argument_in_a_caution_is_a_flag_where_the_run_came_from_a_command(fake: ModuleType, tmp_path: Path) -> None:
    folder = fake.write_fake_run(tmp_path / "run")
    results = json.loads((folder / "results.json").read_text())
    for command, told in (("unseen compare", "Not read: give --classes ...."), ("", "Not read: give classes=....")):
        changed = {**results, "command": command, "cautions": ["not read: give classes=..."]}
        (folder / "results.json").write_text(json.dumps(changed))
        assert told in Page(render(folder).read_text(encoding="utf-8")).words


def test_lone_surrogates_of_file_names_do_not_stop_the_page(fake: ModuleType, tmp_path: Path) -> None:
    folder = fake.write_fake_run(tmp_path / "run")
    results = json.loads((folder / "results.json").read_text())
    results["given"]["target"]["skipped"] = [["bad\udcff.png", "no picture"]]
    (folder / "results.json").write_text(json.dumps(results))
    assert "bad?.png" in render(folder).read_text(encoding="utf-8")


def test_a_run_without_target_has_a_page(fake: ModuleType, tmp_path: Path) -> None:
    folder = fake.write_fake_run(tmp_path / "run", labels=False, pictures=False)
    results = json.loads((folder / "results.json").read_text())
    del results["given"]["target"]
    for row in results["candidates"]:
        row["validators"] = {}
    (folder / "results.json").write_text(json.dumps(results))
    for name in ("predictions", "map"):
        pd.DataFrame([]).to_parquet(folder / f"{name}.parquet", index=False)
    text = Page(render(folder).read_text(encoding="utf-8")).words
    assert "There is no target to compare with." in text
    assert "The features, before and after" not in text


def test_rejected_unknown_samples_count_as_right(fake: ModuleType, tmp_path: Path) -> None:
    folder = fake.write_fake_run(tmp_path / "run", protocol="open")
    predictions = pd.read_parquet(folder / "predictions.parquet")
    first = predictions["id"].iloc[0]
    predictions.loc[predictions["id"] == first, ["truth", "prediction"]] = ["violin", None]
    predictions.to_parquet(folder / "predictions.parquet", index=False)
    source = render(folder).read_text(encoding="utf-8")
    right, wrong = source.index("<h3>Right</h3>"), source.index("<h3>Wrong</h3>")
    assert right < source.index('alt="violin, predicted (unknown)"') < wrong


def test_versions_of_the_run_are_shown_if_recorded(fake: ModuleType, tmp_path: Path) -> None:
    folder = fake.write_fake_run(tmp_path / "run")
    results = json.loads((folder / "results.json").read_text())
    results["versions"] = {"torch": "2.6.0"}
    (folder / "results.json").write_text(json.dumps(results))
    assert "unseen 0.1.0, torch 2.6.0" in Page(render(folder).read_text(encoding="utf-8")).words


def test_one_run_gives_one_page(fake: ModuleType, tmp_path: Path) -> None:
    folder = fake.write_fake_run(tmp_path / "run")
    first = render(folder).read_bytes()
    assert render(str(folder)).read_bytes() == first
    assert not list(folder.glob(".*.tmp"))
    assert len(first) < 300_000


def test_a_run_of_another_command_is_named_as_one(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text('{"nodes": 9}')
    with pytest.raises(ValueError, match="results must be those of `unseen compare`; these are of another command"):
        render(tmp_path)


@pytest.mark.parametrize("schema", [2, None, "1"])
def test_another_schema_is_refused(fake: ModuleType, tmp_path: Path, schema: object) -> None:
    folder = fake.write_fake_run(tmp_path / "run")
    results = json.loads((folder / "results.json").read_text())
    results["schema"] = schema
    (folder / "results.json").write_text(json.dumps(results))
    with pytest.raises(ValueError, match="schema 1, which this version"):
        render(folder)
    assert not (folder / "report.html").exists()


def test_what_is_no_run_is_refused(fake: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"has no results\.json"):
        render(tmp_path)
    folder = fake.write_fake_run(tmp_path / "run")
    (folder / "map.parquet").write_bytes(b"no parquet")
    with pytest.raises(ValueError, match=r"map\.parquet is damaged"):
        render(folder)
    (folder / "map.parquet").unlink()
    with pytest.raises(ValueError, match=r"has no map\.parquet"):
        render(folder)
    os.mkfifo(folder / "map.parquet")
    with pytest.raises(ValueError, match=r"map\.parquet is a pipe, not a file"):
        render(folder)
    (folder / "map.parquet").unlink()
    pd.DataFrame({"x": [1.0]}).to_parquet(folder / "map.parquet")
    with pytest.raises(ValueError, match="stage, y, domain, class are missing"):
        render(folder)
    (folder / "results.json").write_text("{")
    with pytest.raises(ValueError, match=r"results\.json is not a JSON file that can be read"):
        render(folder)
