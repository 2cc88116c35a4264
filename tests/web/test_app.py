"""What the pages answer, in the process itself: forms, lists, reports, what is refused and how it is told."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("starlette", reason="the app needs `pip install unseen[web]`")

from starlette.testclient import TestClient
from typer.testing import CliRunner

from unseen.bundle import Bundle
from unseen.cli import app as cli
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.methods import get
from unseen.precedents import Recommendation, first_of
from unseen.serving.limits import Limits
from unseen.serving.mistakes import FIELD
from unseen.web import fit
from unseen.web import pages as module
from unseen.web.app import create_app
from unseen.web.desk import Desk, Task
from unseen.web.guard import REPORT, Guard
from unseen.web.job import work
from unseen.web.pages import Shown, given
from unseen.web.places import Places

NASTY = "<img src=x onerror=alert(1)>"


class Quiet(Desk):
    """Starts nothing, and remembers what it was told."""

    started: list[tuple[str, Any]]

    def start(self, name: str, inputs: Any, task: Task = "compare") -> str:
        self.started = [*getattr(self, "started", []), (name, dict(inputs))]
        return super().start(name, inputs, task)


@pytest.fixture
def desk(tmp_path: Path) -> Quiet:
    return Quiet(tmp_path / "runs", program=("true",))


@pytest.fixture
def places(tmp_path: Path) -> Places:
    (tmp_path / "data" / "photos").mkdir(parents=True)
    (tmp_path / "data" / "names.csv").write_text("name\ncat\n")
    return Places([tmp_path / "data"], tmp_path / "runs" / ".web" / "uploads", longest=1000)


@pytest.fixture
def client(tmp_path: Path, desk: Quiet, places: Places) -> TestClient:
    shown = Shown(runs=tmp_path / "runs", models=tmp_path / "models", evidence=None, limits=Limits(), trust=False)
    whole = Guard(create_app(shown, desk, places), token=None, longest={"/upload": 1000, "/try": 10**6})
    return TestClient(whole, base_url="http://localhost", follow_redirects=False)


def written(folder: Path, results: Callable[..., dict[str, Any]], **changes: Any) -> None:
    folder.mkdir(parents=True)
    (folder / "results.json").write_text(json.dumps(results(**changes)))


def test_every_page_answers_with_a_policy_and_nothing_of_others(client: TestClient) -> None:
    for path in (
        "/",
        "/try",
        "/methods",
        "/methods?have=source&have=target",
        "/evidence",
        "/compare",
        "/evidence?system=loki",
    ):
        answer = client.get(path)
        assert answer.status_code == 200, path
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert 'src="http' not in answer.text
        assert "<style" not in answer.text
    assert client.get("/style.css").headers["content-type"].startswith("text/css")
    assert client.get("/app.js").headers["content-type"].startswith("text/javascript")
    assert client.get("/docs").status_code == 404


def test_a_form_starts_a_run(client: TestClient, desk: Quiet, tmp_path: Path) -> None:
    folder = str(tmp_path / "data" / "photos")
    form = {"source": "photos", "target": folder, "name": "mine", "seeds": "3", "budget": "1m"}
    answer = client.post("/runs", data=form)
    assert (answer.status_code, answer.headers["location"]) == (303, "/run?name=runs%2Fmine")
    assert desk.started == [("mine", {"source": folder, "target": folder, "budget": "1m", "seeds": 3})]
    page = client.get(answer.headers["location"])
    assert "unseen compare --source" in page.text


def test_names_alone_are_enough_and_a_file_of_names_is_one(places: Places, tmp_path: Path) -> None:
    alone = given({"target": "photos", "classes": "cat, dog"}, places)
    assert alone == {"target": str(tmp_path / "data" / "photos"), "classes": "cat, dog", "seeds": 3}
    assert given({"target": "photos", "classes": "names.csv"}, places)["classes"] == str(
        tmp_path / "data" / "names.csv"
    )


@pytest.mark.parametrize(
    ("form", "why"),
    [
        ({}, "Name labelled examples, or the names"),
        ({"target": "photos"}, "Name labelled examples, or the names"),
        ({"classes": "cat, dog"}, "Name your data"),
        ({"target": "photos", "classes": "cat"}, "Names of the classes: at least two, with commas between"),
        ({"target": "photos", "classes": "cat,"}, "got &#39;cat,&#39; alone"),
        ({"target": "photos", "classes": "cat, cat"}, "classes must be different; &#39;cat&#39; stands twice"),
        ({"target": "photos", "classes": "/etc/passwd"}, "got &#39;/etc/passwd&#39; alone"),
        ({"source": "../x", "target": "photos"}, "Labelled examples: &#39;../x&#39; does not lie below"),
        (
            {"target": "photos", "classes": "/etc/names.csv"},
            "&#39;/etc/names.csv&#39; does not lie",
        ),
        ({"source": "photos", "target": "photos", "encoder": "onnx:/tmp/x.onnx"}, "Encoder: files are not loaded here"),
        ({"source": "photos", "target": "photos", "encoder": "nonsense"}, "Encoder: &#39;nonsense&#39; is no encoder"),
        ({"source": "photos", "target": "photos", "seeds": "1000000"}, "Repeat every method"),
        ({"source": "photos", "target": "photos", "budget": "9h"}, "Time at most"),
        ({"source": "photos", "target": "photos", "name": "../x"}, "name: letters"),
    ],
)
def test_what_is_wrong_is_said_and_what_was_typed_stays(
    client: TestClient, desk: Quiet, form: dict[str, str], why: str
) -> None:
    answer = client.post("/runs", data=form)
    assert answer.status_code == 422
    assert why in answer.text
    assert desk.all() == []
    for value in form.values():
        assert value in answer.text or value.isdigit() or value == "9h"


@pytest.mark.parametrize("place", ["/runs", "/advice"])
def test_the_page_of_a_refused_form_can_be_asked_for_again(client: TestClient, place: str) -> None:
    """Its script follows the runs that it lists, every second, and got an error each time."""
    assert client.post(place, data={"target": "photos"}).status_code == 422
    again = client.get(place)
    assert again.status_code == 200
    assert 'id="live"' in again.text
    assert client.put(place).status_code == 405


def test_a_method_is_repeated_as_often_as_on_the_command_line(client: TestClient, places: Places) -> None:
    import inspect

    from unseen.compare import compare

    usual = inspect.signature(compare).parameters["seeds"].default
    assert given({"source": "photos", "target": "photos"}, places)["seeds"] == usual
    assert f'<option value="{usual}" selected>' in client.get("/").text
    assert '<option value="1" selected>' in client.get("/?seeds=1").text


def test_the_form_says_what_a_run_without_data_of_ones_own_leaves_open(client: TestClient) -> None:
    assert "Without it nothing is chosen for data of yours, and scores are of labelled" in client.get("/").text


def test_an_upload_is_named_by_the_form(client: TestClient, places: Places) -> None:
    place = client.post("/upload?name=photos.zip", content=b"PK").json()["place"]
    assert given({"source": place}, places)["source"].endswith("/photos.zip")
    assert client.post("/upload?name=x.exe", content=b"MZ").json()["detail"].startswith("upload one of .zip")
    assert client.post("/upload?name=x.zip", content=b"x" * 1001).status_code == 413


def test_runs_are_listed_compared_and_opened(
    client: TestClient, results: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    written(tmp_path / "runs" / NASTY, results)
    written(tmp_path / "runs" / "second", results, seeds=1)
    (tmp_path / "runs" / "second" / "report.html").write_text("<script>alert(1)</script>")
    home = client.get("/").text
    assert NASTY not in home
    assert "runs/second" in home
    side = client.get("/compare", params={"run": [f"runs/{NASTY}", "runs/second"]}).text
    assert NASTY not in side
    assert side.count('class="dot chosen"') == 2
    assert client.get("/run", params={"name": "runs/second"}).status_code == 200
    report = client.get("/report", params={"run": "runs/second"})
    assert report.headers["content-security-policy"] == REPORT
    for wrong in ("runs/absent", "../second", ""):
        assert client.get("/report", params={"run": wrong}).status_code == 404
        assert client.get("/run", params={"name": wrong}).status_code == 404


def test_damage_is_told_without_a_place_on_this_machine(client: TestClient, tmp_path: Path) -> None:
    for folder, mark in (("runs/r", "results.json"), ("models/m", "bundle.json")):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / mark).write_text("{")
    told = [
        client.get("/compare", params={"run": "runs/r"}).text,
        client.get("/compare", params={"run": "../etc"}).text,
        client.get("/try", params={"model": "models/m"}).text,
        client.get("/try", params={"model": "<b>"}).text,
        client.get("/evidence", params={"system": "../loki"}).text,
        client.get("/", params={"source": NASTY}).text,
    ]
    for line, why in zip(
        told,
        (
            "the run r cannot be read",
            "run must be one of the list",
            "m is not a saved model",
            "&lt;b&gt;",
            "system must be one of",
            "&lt;img src=x",
        ),
    ):
        assert why in line
        assert str(tmp_path) not in line
        assert NASTY not in line


def test_nothing_ticked_is_no_list_of_candidates(client: TestClient) -> None:
    page = client.get("/compare").text
    assert "<h1>Side by side</h1>" in page
    assert "Candidates" not in page
    assert "<h1>Candidates</h1>" in client.get("/compare", params={"run": "x"}).text


def test_a_model_is_asked(client: TestClient, tmp_path: Path) -> None:
    classes = ClassSpace(names=("ant", "bee", NASTY))
    y = np.arange(60) % 3
    x = (np.eye(3)[y] * 4 + np.random.default_rng(0).normal(size=(60, 3))).astype("float32")
    method = get("source-only")().fit(source=Domain(x=x, y=y, classes=classes))
    model = Bundle(method=method, classes=classes, threshold=0.9)
    model.save(tmp_path / "models" / "m")
    dataclasses.replace(model, feature_names=("age", "size", NASTY)).save(tmp_path / "models" / "named")
    page = client.get("/try", params={"model": "models/m"}).text
    assert "3 numbers with commas or spaces between</label>" in page
    named = client.get("/try", params={"model": "models/named"}).text
    assert "3 numbers with commas or spaces between, in this order</label>" in named
    assert "age, size, &lt;" in named
    assert NASTY not in named
    asked = {"params": {"model": "models/m"}}
    answer = client.post("/try", files={"samples": (None, "0 4 0")}, **asked).text  # type: ignore[arg-type]
    assert "<li><span>bee</span>" in answer
    assert NASTY not in answer
    wrong = client.post("/try", files={"samples": (None, "0 4")}, **asked).text  # type: ignore[arg-type]
    assert "must have 3 numbers; it has 2" in wrong
    picture = client.post("/try", files={"samples": ("x.png", b"x")}, **asked).text  # type: ignore[arg-type]
    assert "the model reads features" in picture


def tables(folder: Path) -> None:
    """Two tables of numbers of three classes; the second has no labels, and lies elsewhere."""
    rng = np.random.default_rng(0)
    y = np.arange(60) % 3
    for name, shift in (("known", 0.0), ("own", 0.7)):
        x = np.eye(3)[y] * 4 + rng.normal(size=(60, 3)) + shift
        header, labels = ("a,b,c,label", [f",{'xyz'[k]}" for k in y]) if name == "known" else ("a,b,c", [""] * 60)
        rows = [",".join(f"{value:.3f}" for value in row) + label for row, label in zip(x, labels)]
        (folder / f"{name}.csv").write_text("\n".join([header, *rows]) + "\n")


def test_what_to_try_first_is_the_same_in_the_browser_and_on_a_terminal(
    client: TestClient, desk: Quiet, places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables(tmp_path / "data")
    form = {"source": "known.csv", "target": "own.csv", "name": "mine", "seeds": "1", "budget": "1m"}
    assert f'<button formaction="/advice">{fit.ADVISE}</button>' in client.get("/").text
    here = client.post("/advice", data=form).headers["location"]
    job = desk.get("advice-1")
    assert job is not None
    assert set(job.inputs) == {"source", "target"}
    work(desk.folder / "advice-1")

    monkeypatch.chdir(tmp_path / "data")
    order = shlex.split(job.command)
    assert order[:2] == ["unseen", "recommend"]
    terminal = CliRunner().invoke(cli, [*order[1:], "--json"])
    assert terminal.exit_code == 0
    answer = desk.answer("advice-1")
    assert answer == json.loads(terminal.stdout)

    page = client.get(here).text
    rows = [Recommendation.from_json(row) for row in answer["methods"]]
    assert re.findall(r"<li><a [^>]*><code>([\w:-]+)</code>", page) == [row.name for row in first_of(rows)[0]]
    for line in CliRunner().invoke(cli, order[1:]).stderr.splitlines():  # what was read
        assert f"<li>{line}</li>" in page
    assert f"Yours: {answer['yours']}." in page
    assert f"What else fits ({sum(row.fits for row in rows) - len(first_of(rows)[0])})" in page
    for value in ("known.csv", "own.csv"):  # to start a run with them
        assert f'value="{value}"' in page
    assert "<h1>What to try first</h1>" in page
    assert "What to try first: " in client.get("/").text
    assert not (desk.runs / "advice-1").exists()
    assert desk.start("mine", job.inputs) == "mine"  # which is free

    assert client.post("/run/forget", data={"name": "advice-1"}).headers["location"] == "/"
    assert desk.get("advice-1") is None


def test_what_cannot_be_looked_at_is_said(client: TestClient, desk: Quiet, tmp_path: Path) -> None:
    assert "there is nothing else to learn from" in client.post("/advice", data={"target": "photos"}).text
    tables(tmp_path / "data")
    (tmp_path / "data" / "alone.csv").write_text("a,b,c,label\n1,2,3,x\n4,5,6,x\n")
    here = client.post("/advice", data={"source": "alone.csv", "target": "own.csv"}).headers["location"]
    work(desk.folder / "advice-1")
    page = client.get(here).text
    assert "It could not be done." in page
    assert "Try again" in page


@pytest.mark.parametrize("kind", ["image", "clip", "audio", "series", "text", "features"])
def test_a_sample_has_one_name_whatever_it_is_here_and_in_serve(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    served = SimpleNamespace(kind=kind, width=3, features=())
    asked: list[bytes | str] = []
    monkeypatch.setattr(Shown, "model", lambda *_: ("", served))
    monkeypatch.setattr(Shown, "answer", lambda _self, _name, sample: asked.append(sample) or "")
    form = client.get("/try", params={"model": "m"}).text.partition('id="sample-form"')[2]
    assert re.findall(r' name="(\w+)"', form) == [FIELD]
    for sample in ("some words", b"a file"):
        content = ("x.bin", sample) if isinstance(sample, bytes) else (None, sample)
        client.post("/try", params={"model": "m"}, files={FIELD: content})  # type: ignore[dict-item]
    assert asked == ["some words", b"a file"]


def test_a_failure_inside_tells_the_log_and_not_the_page(
    desk: Quiet, places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError("/secret/place")

    monkeypatch.setattr(module, "listed", fail)
    shown = Shown(runs=tmp_path / "runs", models=tmp_path / "models", evidence=None, limits=Limits(), trust=False)
    client = TestClient(create_app(shown, desk, places), raise_server_exceptions=False)
    answer = client.get("/")
    assert answer.status_code == 500
    assert "/secret" not in answer.text
