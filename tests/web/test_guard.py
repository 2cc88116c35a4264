"""Between the network and the app: tokens, long and slow bodies, other sites, what a page may load."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest

pytest.importorskip("starlette", reason="the app needs `pip install unseen[web]`")

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from unseen.serving.access import carries, refusal
from unseen.web import guard
from unseen.web.guard import FORM, POLICY, REPORT, Guard

TOKEN = "a-token-of-the-tests"


async def page(_: Request) -> HTMLResponse:
    return HTMLResponse("<p>page</p>")


async def length(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(len(await request.body())))


@pytest.fixture
def client() -> Any:
    routes = [Route("/", page), Route("/run", page), *(Route(path, length, methods=["POST"]) for path in POSTS)]
    app = Starlette(routes=routes)
    longest = {"/upload": 1000}
    return lambda token=None: TestClient(Guard(app, token=token, longest=longest), raise_server_exceptions=False)


POSTS = ("/upload", "/runs", "/run/stop", "/try")


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def test_the_token_is_a_bearer_or_a_password(client: Any) -> None:
    asked = client(TOKEN).get("/")
    assert asked.status_code == 401
    assert asked.headers["www-authenticate"].startswith("Basic ")
    for good in (f"Bearer {TOKEN}", basic("anyone", TOKEN), basic("", TOKEN)):
        assert client(TOKEN).get("/", headers={"authorization": good}).status_code == 200
    for bad in (TOKEN, basic(TOKEN, ""), basic("a", "b"), "Basic ?", "Basic " + base64.b64encode(b"\xff").decode()):
        assert not carries(bad, TOKEN)
        assert client(TOKEN).post("/upload", headers={"authorization": bad}).status_code == 401


def test_a_body_that_is_too_long_is_refused_whether_it_says_so_or_not(client: Any) -> None:
    longest = 1000
    assert client().post("/upload", content=b"x" * longest).text == str(longest)
    assert client().post("/upload", content=b"x" * (longest + 1)).status_code == 413
    assert client().post("/upload", content=iter([b"x" * 600] * 2)).status_code != 200
    assert client().post("/runs", content=b"x" * FORM).text == str(FORM)
    assert client().post("/runs", content=b"x" * (FORM + 1)).status_code == 413


@pytest.mark.parametrize("length", ["9" * 5000, "\xb2", "-1", "+5", ""])
def test_a_length_that_is_no_number_of_bytes_is_refused(length: str) -> None:
    refused = refusal({"content-length": length}, None, 100, None)
    assert refused is not None
    assert refused.status == 413


def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "SECONDS", 0.1)
    told: list[Any] = []

    async def app(_: Any, receive: Any, __: Any) -> None:
        told.append(await receive())
        told.append(await receive())

    sent = [{"type": "http.request", "body": b"x", "more_body": True}]

    async def receive() -> Any:
        if sent:
            return sent.pop()
        await asyncio.sleep(5)
        raise AssertionError("it waited")

    async def send(_: Any) -> None:
        pass

    scope = {"type": "http", "method": "POST", "path": "/upload", "headers": [(b"host", b"testserver")]}
    asyncio.run(Guard(app, token=None, longest={"/upload": 10})(scope, receive, send))
    assert told[1] == {"type": "http.disconnect"}


def test_a_page_runs_its_own_scripts_only_and_a_report_none(client: Any) -> None:
    found = client().get("/")
    assert found.headers["content-security-policy"] == POLICY
    assert "unsafe" not in POLICY
    assert "script-src" not in REPORT  # which default-src 'none' forbids
    assert "default-src 'none'" in REPORT
    for name in ("x-content-type-options", "referrer-policy", "x-frame-options", "cross-origin-resource-policy"):
        assert name in found.headers


FOREIGN = [
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
    {"sec-fetch-site": "cross-site", "origin": "http://testserver"},
    {"origin": "https://evil.example"},
    {"origin": "http://testserver:81"},
    {"origin": "null"},
    {"origin": "http://["},
]


@pytest.mark.parametrize("headers", FOREIGN)
@pytest.mark.parametrize("path", POSTS)
def test_a_page_of_another_site_may_not_upload_start_or_stop(client: Any, headers: dict[str, str], path: str) -> None:
    """A form of a foreign page needs nobody's leave to send a file, and many fill the disk."""
    files = {"files": ("x.png", b"x", "image/png")}
    assert client().post(path, files=files, headers=headers).status_code == 403
    assert client().get("/run?name=x", headers=headers).status_code == 403
    assert client().post("/", headers=headers).status_code == 403
    assert client().get("/", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"sec-fetch-site": "same-origin", "origin": "https://behind.a.proxy"},
        {"sec-fetch-site": "none"},
        {"origin": "http://testserver"},
        {"origin": "http://TESTSERVER"},
    ],
)
def test_its_own_page_may(client: Any, headers: dict[str, str]) -> None:
    assert client().post("/upload", content=b"xyz", headers=headers).text == "3"
