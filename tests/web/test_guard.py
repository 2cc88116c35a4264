"""Between the network and the app: tokens, long bodies, pages closed to the outside."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from unseen.serving.access import carries
from unseen.web.guard import FORM, Guard, policy, without_outside

TOKEN = "a-token-of-the-tests"
PAGE = (
    '<head><link rel="preconnect" href="https://fonts.example"><link rel=stylesheet href="./own.css">'
    '<script async src="https://cdn.example/x.js"></script><script src="//cdn.example/y.js">\n</script>'
    "<script>own()</script><script type=module src=./own.js></script></head>"
)


async def page(_: Request) -> HTMLResponse:
    return HTMLResponse(PAGE)


async def length(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(len(await request.body())))


@pytest.fixture
def client() -> Any:
    app = Starlette(routes=[Route("/", page), Route("/gradio_api/upload", length, methods=["POST"])])
    return lambda token=None: TestClient(Guard(app, token=token, longest=1000), raise_server_exceptions=False)


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
        assert client(TOKEN).post("/gradio_api/upload", headers={"authorization": bad}).status_code == 401


def test_a_body_that_is_too_long_is_refused_whether_it_says_so_or_not(client: Any) -> None:
    longest = 1000 + FORM
    assert client().post("/gradio_api/upload", content=b"x" * longest).text == str(longest)
    assert client().post("/gradio_api/upload", content=b"x" * (longest + 1)).status_code == 413
    assert client().post("/gradio_api/upload", content=iter([b"x" * 1000] * (longest // 1000 + 2))).status_code != 200


def test_other_paths_do_not_answer(client: Any) -> None:
    for path in ("/gradio_api/proxy=https://x.example", "/login", "/gradio_api/run/0", "/monitoring", "/x/static/"):
        assert client().get(path).status_code == 404, path


def test_a_page_loses_what_is_outside_and_keeps_what_is_its_own(client: Any) -> None:
    found = client().get("/")
    assert "example" not in found.text
    assert "./own.css" in found.text
    assert "./own.js" in found.text
    rules = dict(rule.split(" ", 1) for rule in found.headers["content-security-policy"].split("; "))
    assert rules["default-src"] == "'self'"
    assert "'sha256-" in rules["script-src"]
    assert "unsafe-inline" not in rules["script-src"]
    assert int(found.headers["content-length"]) == len(found.content)


def test_the_policy_allows_the_script_that_is_there_and_no_other() -> None:
    assert policy("<script>a()</script>") != policy("<script>b()</script>")
    assert "sha256" not in policy("<script src=a.js></script>")
    assert without_outside("<p>https://x.example</p>") == "<p>https://x.example</p>"


FOREIGN = [
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
    {"sec-fetch-site": "cross-site", "origin": "http://testserver"},
    {"origin": "https://evil.example"},
    {"origin": "http://testserver:81"},
    {"origin": "null"},
]


@pytest.mark.parametrize("headers", FOREIGN)
@pytest.mark.parametrize("path", ["/gradio_api/upload", "/gradio_api/queue/join", "/gradio_api/queue/data", "/config"])
def test_a_page_of_another_site_may_not_upload_or_queue(client: Any, headers: dict[str, str], path: str) -> None:
    """A form of a foreign page needs nobody's leave to send a file, and many fill the disk."""
    files = {"files": ("x.png", b"x", "image/png")}
    assert client().post(path, files=files, headers=headers).status_code == 403
    assert client().get(path, headers=headers).status_code == 403
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
    assert client().post("/gradio_api/upload", content=b"xyz", headers=headers).text == "3"
