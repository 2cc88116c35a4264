"""What the application answers, and what it refuses."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import html
import json
import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi", reason='serving needs: pip install "unseen[serve]"')

from starlette.exceptions import HTTPException
from starlette.requests import Request

from unseen.bundle import Bundle
from unseen.data.domain import Domain
from unseen.serving.bodies import Bodies
from unseen.serving.limits import Limits
from unseen.serving.model import Served

TOKEN = "a-token-of-the-tests"
Client = Callable[..., Any]


def vector(*x: float, **more: Any) -> dict[str, Any]:
    return {"samples": [list(x)], **more}


def test_vectors_are_predicted_as_the_bundle_does(client: Client, vectors: Bundle) -> None:
    from unseen.data.domain import Domain

    x = [[4.0, 0, 0, 0], [0, 4.0, 0, 0], [0.5, 0.5, 0.5, 0]]
    expected = vectors.predict(Domain(x=x), top=2)
    found = client(vectors).post("/predict?top=2", json={"samples": x}).json()["predictions"]
    assert [row["class"] for row in found] == expected["class"].tolist()
    assert [row["unknown"] for row in found] == expected["unknown"].tolist()
    assert [row["probability"] for row in found] == pytest.approx(expected["probability"].tolist(), abs=2e-6)
    assert [row["top"][1]["class"] for row in found] == expected["class_2"].tolist()
    assert {len(row["top"]) for row in found} == {2}


def test_abstaining_names_no_class(client: Client, vectors: Bundle) -> None:
    test = client(vectors)
    doubt = vector(0.6, 0.6, 0.6, 0)
    (row,) = test.post("/predict", json=doubt).json()["predictions"]
    assert row["unknown"]
    assert row["class"] in ("ant", "bee", "<b>猫</b>")
    (row,) = test.post("/predict?abstain=true", json=doubt).json()["predictions"]
    assert row["class"] is None
    assert row["top"][0]["class"]


def test_pictures_come_as_files_or_in_json(client: Client, pictures: Bundle, picture: Callable[..., bytes]) -> None:
    test = client(pictures)
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    files = [("samples", ("../../etc/passwd", picture(colour), "image/png")) for colour in colours]
    uploaded = test.post("/predict", files=files).json()
    assert [row["class"] for row in uploaded["predictions"]] == ["ant", "bee", "<b>猫</b>"]
    texts = [base64.b64encode(picture(colour)).decode() for colour in colours]
    assert test.post("/predict", json={"samples": texts}).json() == uploaded


def test_texts_come_in_json(client: Client, texts: Bundle) -> None:
    test = client(texts)
    rows = test.post("/predict", json={"samples": ["aaa", "cc", "bbb b", ".", "日本"]}).json()["predictions"]
    assert [row["class"] for row in rows[:3]] == ["ant", "<b>猫</b>", "bee"]
    assert len(rows) == 5
    assert test.post("/predict", json={"samples": ["a" * 20_001]}).status_code == 422
    assert test.post("/predict", files=[("samples", ("a.txt", b"aaa"))]).status_code == 415


@pytest.mark.parametrize(("text", "why"), [("", "empty"), ("  \n\t", "blank")])
def test_a_text_that_says_nothing_is_refused_with_its_place(client: Client, texts: Bundle, text: str, why: str) -> None:
    answer = client(texts).post("/predict", json={"samples": ["aaa", text]})
    assert (answer.status_code, answer.json()) == (422, {"detail": f"sample 1 has no text: it is {why}"})
    samples = Domain(x=np.array(["aaa", text]), kind="text", ids=np.array(["first", "second"]))
    with pytest.raises(ValueError, match=f"sample second has no text: it is {why}"):
        texts.predict(samples, cache=False)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "the body must be JSON; it is not from line 1 column 0 on"),
        (b"{", "the body must be JSON; it is not from line 1 column 1 on"),
        (b"\xff\xfe", "the body must be JSON"),
        (b"[]", 'the body must be an object such as {"samples": [...]}'),
        (b"[" * 100_000, "the body must be JSON"),
        (b"{}", "samples must be given"),
        (b'{"samples": 3}', "samples must be a list"),
        (b'{"samples": []}', "samples must have at least 1 sample; it has 0"),
        (b'{"samples": [3]}', "sample 0 must be a list of numbers"),
        (b'{"samples": [[1, 2, 3]]}', "sample 0 must have 4 numbers; it has 3"),
        (b'{"samples": [[1, 2, 3, 4], [1, 2, 3, 4, 5]]}', "sample 1 must have 4 numbers; it has 5"),
        (b'{"samples": [[1, 2, 3, "4"]]}', "number 3 of sample 0 must be a number"),
        (b'{"samples": [[1, 2, 3, true]]}', "number 3 of sample 0 must be a number"),
        (b'{"samples": [[1, 2, 3, NaN]]}', "number 3 of sample 0 must be a finite number"),
        (b'{"samples": [[1, 2, 3, 1e39]]}', "number 3 of sample 0 must be at most 3e+38"),
        (b'{"samples": [[1, 2, 3, ' + b"9" * 400 + b"]]}", "number 3 of sample 0 must be at most 3e+38"),
        (b'{"samples": [[1, 2, 3, -' + b"9" * 400 + b"]]}", "number 3 of sample 0 must be at least -3e+38"),
        (
            b'{"samples": [[1, 2, 3, ' + b"9" * 5000 + b"]]}",
            "the body must hold numbers from -3e+38 to 3e+38; one is",
        ),
        (b'{"samples": [[1, 2, 3, 4]], "path": "/etc/passwd"}', "path is no field; there is samples alone"),
    ],
)
def test_wrong_json_is_refused_with_its_place(client: Client, vectors: Bundle, body: bytes, told: str) -> None:
    answer = client(vectors).post("/predict", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith(told)


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("top=0", "top must be at least 1"),
        ("top=101", "top must be at most 100"),
        ("top=x", "top must be a whole number"),
        ("abstain=perhaps", "abstain must be true or false"),
        ("topp=3", "topp is no parameter; there are top and abstain"),
        ("top=2&Abstain=true", "Abstain is no parameter; there are top and abstain"),
        ("top=3&top=4", "top stands twice among the parameters"),
        ("abstain=true&top=1&abstain=true", "abstain stands twice among the parameters"),
    ],
)
def test_wrong_parameters_are_refused(client: Client, vectors: Bundle, query: str, told: str) -> None:
    answer = client(vectors).post(f"/predict?{query}", json=vector(1, 2, 3, 4))
    assert answer.status_code == 422
    assert answer.json() == {"detail": told}


def test_wrong_forms_are_refused(client: Client, pictures: Bundle, picture: Callable[..., bytes]) -> None:
    test = client(pictures, batch=2, queue=2)
    good = ("samples", ("a.png", picture(), "image/png"))
    form = {"content-type": "multipart/form-data; boundary=x"}
    for answer in (
        test.post("/predict", files=[good, good, good]),
        test.post("/predict", files=[good, ("other", ("b.png", picture(), "image/png"))]),
        test.post("/predict", files=[good], data={"path": "/etc/passwd"}),
        test.post("/predict", content=b"", headers=form),
        test.post("/predict", content=b"--x\r\nnonsense\r\n\r\n--x--", headers=form),
        test.post("/predict", content=b"--x--", headers={"content-type": "multipart/form-data"}),
    ):
        assert answer.status_code == 422
        assert answer.json() == {"detail": "the form must hold 1 to 2 files, all in the field 'samples'"}


def test_bad_pictures_are_refused_by_their_number(
    client: Client, pictures: Bundle, picture: Callable[..., bytes]
) -> None:
    test = client(pictures, pixels=1000)
    bomb = picture(size=(4000, 4000))
    assert len(bomb) < 100_000
    for bad, told in (
        (bomb, "is a damaged picture, or one of more than 1,000 pixels"),
        (b"x", "is no picture in JPEG"),
    ):
        answer = test.post("/predict", files=[("samples", ("a", picture())), ("samples", ("b", bad))])
        assert answer.status_code == 422
        assert answer.json()["detail"].startswith(f"sample 1 {told}")


def test_other_types_and_long_bodies_are_refused(client: Client, vectors: Bundle) -> None:
    test = client(vectors, bytes=1000)
    for kind in ("text/plain", "multipart/form-data; boundary=x", ""):
        assert test.post("/predict", content=b"x", headers={"content-type": kind}).status_code == 415
    long = json.dumps(vector(1, 2, 3, 4)).encode() + b" " * 1000
    header = {"content-type": "application/json"}
    told = test.post("/predict", content=long, headers=header)
    pieces = test.post("/predict", content=iter([long[:600], long[600:]]), headers=header)  # no Content-Length
    for answer in (told, pieces):
        assert answer.status_code == 413
        assert answer.json() == {"detail": "the body may have at most 1,000 bytes"}
    assert test.post("/predict", content=long[:900], headers=header).status_code == 200


def test_a_body_that_dribbles_in_is_not_waited_for() -> None:
    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0.05)
        return {"type": "http.request", "body": b" ", "more_body": True}

    scope = {"type": "http", "method": "POST", "headers": [(b"content-type", b"application/json")]}
    bodies = Bodies("features", 4, Limits(seconds=0.3))

    async def read() -> None:
        async with bodies.read(Request(scope, receive)):
            raise AssertionError("it was read")

    with pytest.raises(HTTPException, match=r"did not arrive within 0\.3 s") as caught:
        asyncio.run(read())
    assert caught.value.status_code == 408
    assert bodies.held == 0


def test_a_token_is_asked_for_where_something_can_be_learnt(client: Client, vectors: Bundle) -> None:
    test = client(vectors, token=TOKEN, host="example.org")
    asked = {"/predict": ("POST", vector(1, 2, 3, 4)), "/model": ("GET", None), "/metrics": ("GET", None)}
    for path, (verb, body) in asked.items():
        for header in ({}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {TOKEN}"}):
            answer = test.request(verb, path, json=body, headers=header)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
        answer = test.request(verb, path, json=body, headers={"authorization": f"Bearer {TOKEN}"})
        assert answer.status_code == 200
    assert test.get("/health").json() == {"status": "ok"}
    assert test.get("/openapi.json").json()["paths"]["/predict"]["post"]["security"] == [{"HTTPBearer": []}]


def test_without_a_token_no_web_page_reaches_it_by_a_name_of_its_own(client: Client, vectors: Bundle) -> None:
    refused = client(vectors, host="attacker.example").post("/predict", json=vector(1, 2, 3, 4))
    assert refused.status_code == 400
    assert refused.json() == {"detail": "the host of the request is no name of this machine"}
    for host in ("127.0.0.1:8000", "[::1]:8000", "localhost", "LocalHost:80"):
        assert client(vectors).get("/health", headers={"host": host}).status_code == 200, host
    answer = client(vectors).options(
        "/predict", headers={"origin": "http://a.b", "access-control-request-method": "POST"}
    )
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("limits", [{"queue": 1}, {"requests": 1}])
def test_too_much_at_once_is_sent_away(
    client: Client, vectors: Bundle, limits: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    real, begun, go_on = Served.predict, threading.Event(), threading.Event()

    def held(*given: Any) -> Any:
        begun.set()
        go_on.wait(30)
        return real(*given)

    monkeypatch.setattr(Served, "predict", held)
    test = client(vectors, batch=1, waiting=0, deadline=0.1, **limits)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(test.post, "/predict", json=vector(1, 2, 3, 4))
        assert begun.wait(30)
        busy = test.post("/predict", json=vector(1, 2, 3, 4))
        go_on.set()
    assert [first.result().status_code, busy.status_code] == [200, 503]
    assert busy.headers["retry-after"] == "1"
    assert test.post("/predict", json=vector(1, 2, 3, 4)).status_code == 200


def test_a_failure_inside_tells_the_log_and_not_the_stranger(
    client: Client, vectors: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise RuntimeError("/secret/place of the model")

    monkeypatch.setattr(Served, "predict", fail)
    test = client(vectors)
    answer = test.post("/predict", json=vector(1, 2, 3, 4))
    assert answer.status_code == 500
    assert answer.json() == {"detail": "the server failed; its log says why"}
    assert 'unseen_requests_total{path="/predict",status="500"} 1.0' in test.get("/metrics").text


def test_metrics_count_what_was_asked(client: Client, vectors: Bundle) -> None:
    test = client(vectors)
    test.post("/predict", json={"samples": [[4, 0, 0, 0], [0.6, 0.6, 0.6, 0]]})
    test.post("/predict", json={})
    for path in ("/a", "/b"):
        assert test.get(path).json() == {"detail": "Not Found"}
    answer = test.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    lines = answer.text.splitlines()
    assert 'unseen_requests_total{path="/predict",status="200"} 1.0' in lines
    assert 'unseen_requests_total{path="/predict",status="422"} 1.0' in lines
    assert 'unseen_requests_total{path="other",status="404"} 2.0' in lines
    assert "unseen_samples_total 2.0" in lines
    assert "unseen_unknown_samples_total 1.0" in lines
    assert "unseen_samples_under_way 0.0" in lines
    assert 'unseen_batch_samples_bucket{le="2.0"} 1.0' in lines


def test_the_manual_explains_every_path_without_a_script_or_an_outside_request(client: Client, vectors: Bundle) -> None:
    answer = client(vectors, token=TOKEN).get("/docs")
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")
    for path in ("/predict", "/health", "/model", "/metrics"):
        assert f" {path}</code>" in answer.text
    said = html.unescape(answer.text)
    assert re.search(r"The model reads vectors of numbers and tells \d+ classes apart\. Try", said)
    assert 'curl -H "Authorization: Bearer $UNSEEN_TOKEN"' in said  # a line to paste, the token not in it
    assert TOKEN not in said
    assert "calibrated as <code>unseen predict</code>" in said
    assert "<script" not in answer.text
    assert re.findall(r"(?:src|href)=\"?(https?:[^\" >]+)", answer.text) == []


def test_the_model_says_what_it_is(client: Client, pictures: Bundle) -> None:
    told = client(pictures).get("/model").json()
    assert told["method"] == "source-only"
    assert told["kind"] == "image"
    assert told["classes"] == ["ant", "bee", "<b>猫</b>"]
    assert told["limits"] == {"bytes": 16 * 2**20, "pixels": 50_000_000, "characters": 20_000, "batch": 64}
    assert {type(value) for value in told["limits"].values()} == {int}
    assert told["title"] == pictures.method.card.summary.rstrip(".")
    assert told["paper"] == pictures.method.card.title


def test_the_numbers_of_a_vector_are_named_where_they_have_names(client: Client, vectors: Bundle) -> None:
    assert client(vectors).get("/model").json()["features"] == []
    named = client(dataclasses.replace(vectors, feature_names=("a", "b", "c", "d")))
    assert named.get("/model").json()["features"] == ["a", "b", "c", "d"]
    assert "Vectors of 4 numbers, in this order: a, b, c, d; or objects" in named.get("/openapi.json").text


def test_with_a_token_nothing_that_anyone_may_read_names_a_column(client: Client, vectors: Bundle) -> None:
    names = ("acidity1", "proline2", "malic3", "ashes4")
    test = client(dataclasses.replace(vectors, feature_names=names), token=TOKEN)
    for path in ("/", "/docs", "/openapi.json"):
        page = test.get(path)
        assert page.status_code == 200
        assert not [name for name in names if name in page.text], path
    record = {"samples": [dict.fromkeys(names, 1)]}
    assert test.post("/predict", json=record).status_code == 401
    assert test.post("/predict", json=record, headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200


def test_rows_of_a_table_may_name_their_columns_in_any_order(client: Client, vectors: Bundle) -> None:
    named = client(dataclasses.replace(vectors, feature_names=("a", "b", "c", "d")))
    lists = named.post("/predict", json=vector(0, 4, 0, 1)).json()
    assert named.post("/predict", json={"samples": [{"d": 1, "b": 4, "a": 0.0, "c": 0}]}).json() == lists
    both = named.post("/predict", json={"samples": [[0, 4, 0, 1], {"d": 1, "b": 4, "a": 0, "c": 0}]})
    assert both.json()["predictions"] == lists["predictions"] * 2


@pytest.mark.parametrize(
    ("record", "told"),
    [
        ({"a": 1, "b": 2, "c": 3}, "sample 0 lacks d; its columns are those of /model"),
        ({}, "sample 0 lacks a, b, c and 1 more; its columns"),
        (
            {"a": 1, "b": 2, "c": 3, "D": 4},
            "sample 0 lacks d and has D, which the model does not read; its columns are those of /model",
        ),
        ({"a": 1, "b": 2, "c": 3, "d": 4, "id": 5}, "sample 0 has id, which the model does not read"),
        ({"a": 1, "b": 2, "c": 3, "d": "4"}, "sample 0 must have a number as d"),
        ({"a": 1, "b": 2, "c": 3, "d": True}, "sample 0 must have a number as d"),
        ({"a": 1, "b": 2, "c": 3, "d": 1e39}, "number 3 of sample 0 must be at most 3e+38"),
    ],
)
def test_columns_that_are_absent_or_misnamed_are_named(
    client: Client, vectors: Bundle, record: dict[str, Any], told: str
) -> None:
    named = client(dataclasses.replace(vectors, feature_names=("a", "b", "c", "d")))
    answer = named.post("/predict", json={"samples": [record]})
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith(told)


def test_objects_are_refused_where_columns_have_no_names(client: Client, vectors: Bundle) -> None:
    answer = client(vectors).post("/predict", json={"samples": [{"a": 1}]})
    told = "sample 0 must be a list of numbers: the columns of the table of this model had no names"
    assert (answer.status_code, answer.json()) == (422, {"detail": told})


@pytest.mark.parametrize(
    "body", ['{"samples": [[1, 2, 3, 4]], "samples": [[1, 2, 3, 4]]}', '{"samples": [{"a": 1, "a": 2}]}']
)
def test_a_key_that_stands_twice_is_refused(client: Client, vectors: Bundle, body: str) -> None:
    answer = client(vectors).post("/predict", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["detail"].endswith("stands twice in one object")


def test_a_text_may_be_called_as_the_field_and_begin_with_a_mark(client: Client, texts: Bundle) -> None:
    body = b'\xef\xbb\xbf{"samples": ["samples", "aaa"]}'
    answer = client(texts).post("/predict", content=body, headers={"content-type": "application/json"})
    assert [row["class"] for row in answer.json()["predictions"]][1:] == ["ant"]


def test_a_vector_for_a_model_of_pictures_is_told_what_to_send(client: Client, pictures: Bundle) -> None:
    answer = client(pictures).post("/predict", json=vector(1, 2, 3))
    assert answer.json() == {"detail": "sample 0 must be base64 of a picture"}


def test_answers_are_not_kept_and_their_type_is_not_guessed(client: Client, vectors: Bundle) -> None:
    headers = client(vectors).post("/predict", json=vector(1, 2, 3, 4)).headers
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
