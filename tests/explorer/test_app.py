"""The HTTP service: answers, refusals, and nothing served that should not be."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

pytest.importorskip("faiss", reason="an index needs `pip install unseen[curate]`")
pytest.importorskip("fastapi", reason="the explorer needs `pip install unseen[curate]`")

from starlette.testclient import TestClient

from unseen.curation.retrieval import RetrievalService
from unseen.explorer import ExplorerClient, create_app
from unseen.explorer.client import ExplorerClient as Client
from unseen.explorer.server import serve
from unseen.serving.limits import Limits

from .conftest import NASTY, picture

JSON = {"content-type": "application/json"}
TOKEN = "a token of 16 and more"


@pytest.fixture
def client(service: RetrievalService) -> Iterator[TestClient]:
    with TestClient(create_app(service), base_url="http://localhost", raise_server_exceptions=False) as client:
        yield client


def knn(client: TestClient, **message: Any) -> Any:
    return client.post("/api/knn", json=message)


def test_a_search_gives_hits_with_their_columns_as_text(client: TestClient) -> None:
    answer = knn(client, texts=[{"text": "green", "weight": 2}], k=20, deduplicate=False, safe=False).json()
    assert [hit["row"] % 3 for hit in answer["hits"]] == [1] * 20
    texts = {hit["row"]: hit["columns"]["text"] for hit in answer["hits"]}
    assert texts[1] == f"green {NASTY}"
    assert set(answer) == {"hits", "removed", "allowed", "seconds", "weak", "unread"}
    assert not {"_note", "offset", "size"} & set(answer["hits"][0]["columns"])


def test_a_change_leads_from_what_is_shown_to_what_is_said(client: TestClient) -> None:
    asked = {"rows": [{"row": 3}], "k": 5, "safe": False, "deduplicate": False}
    assert [hit["row"] % 3 for hit in knn(client, **asked).json()["hits"]] == [0] * 5
    changed = knn(client, change="green green green", **asked).json()["hits"]
    best = knn(client, texts=[{"text": "green"}], **asked).json()["hits"]
    assert [hit["similarity"] for hit in changed] == [hit["similarity"] for hit in best]
    assert knn(client, change="x" * 3_000, **asked).status_code == 422
    assert client.get("/api/indices").json()["can"]["combine"] is False


def test_pictures_vectors_and_rows_can_be_looked_for(client: TestClient) -> None:
    red = base64.b64encode(picture((240, 9, 9))).decode()
    for message in (
        {"images": [{"base64": red}]},
        {"images": [{"base64": f"data:image/png;base64,{red}"}]},
        {"embeddings": [{"vector": [1, 0, 0, 0]}]},
        {"rows": [{"row": 3}]},
    ):
        answer = knn(client, k=5, safe=False, deduplicate=False, **message).json()
        assert [hit["row"] % 3 for hit in answer["hits"]] == [0] * 5


def test_how_near_results_must_be_to_show_the_same_can_be_said(client: TestClient) -> None:
    asked = {"texts": [{"text": "green"}], "k": 30, "safe": False}
    removed = [knn(client, near=near, **asked).json()["removed"]["duplicates"] for near in (0.01, 0.999_999)]
    assert removed[0] > removed[1]
    assert "less than or equal to 1" in str(knn(client, near=1.5, **asked).json())


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ({}, "terms must hold"),
        ({"texts": [{"text": ""}]}, "at least 1 character"),
        ({"texts": [{"text": "red"}], "k": 0}, "greater than or equal to 1"),
        ({"texts": [{"text": "red"}], "k": 10**6}, "less than or equal to 1000"),
        ({"texts": [{"text": "red"}], "index": "sound"}, "'image' or 'text'"),
        ({"texts": [{"text": "red"}], "folder": "/etc"}, "Extra inputs"),
        ({"texts": [{"text": "red"}] * 17}, "at most 16"),
        ({"images": [{"base64": "###"}]}, "a file in base64"),
        ({"images": [{"base64": base64.b64encode(b"<svg/>").decode()}]}, "is no picture in"),
        ({"embeddings": [{"vector": [1, 2]}]}, "must be 4 numbers"),
        ({"rows": [{"row": 60}]}, r"a row must lie"),
        ({"texts": [{"text": "red"}], "filters": {"values": {"_note": ["private"]}}}, "no column of words"),
        ({"texts": [{"text": "red"}], "filters": {"ranges": {"offset": [0, 1]}}}, "no column of numbers"),
        ({"texts": [{"text": "red"}], "aesthetic": {"score": 9}}, "one that pairs of the collection have"),
    ],
)
def test_a_wrong_query_is_one_sentence(client: TestClient, message: dict[str, Any], told: str) -> None:
    answer = knn(client, **message)
    assert answer.status_code == 422
    assert told in answer.json()["detail"]
    assert "/" not in answer.json()["detail"].replace("image/", "")


def test_pictures_come_as_they_were_kept_or_small(client: TestClient, service: RetrievalService) -> None:
    for row, kind in ((0, "image/png"), (1, "image/jpeg"), (2, "image/webp")):
        answer = client.get(f"/api/picture/{row}")
        assert (answer.headers["content-type"], answer.content) == (kind, service.collection.picture(row))
        assert answer.headers["x-content-type-options"] == "nosniff"
    small = client.get("/api/picture/59", params={"side": 64})
    assert Image.open(io.BytesIO(small.content)).format == "JPEG"
    assert client.get("/api/picture/60").status_code == 404
    assert client.get("/api/picture/-1").status_code == 404
    assert client.get("/api/picture/1", params={"side": 9_999}).status_code == 422


@pytest.mark.parametrize(
    "path",
    [
        "/collection.json",
        "/../collection.json",
        "/%2e%2e/collection.json",
        "/shards/00000/pairs.parquet",
        "/index/image.json",
        "/api/picture/../../collection.json",
        "/api/picture/%2e%2e%2fcollection.json",
        "/api/picture/..%5c..%5ccollection.json",
        "/app.js/../../pyproject.toml",
        "/page.html",
        "/static/app.js",
        "//etc/passwd",
        "/app.js%00.html",
        "/docs",
    ],
)
def test_no_other_file_is_served(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code in (404, 405, 422)
    assert "told to nobody" not in answer.text


def test_nothing_private_is_in_any_answer(client: TestClient, colours_folder: Path) -> None:
    texts = [
        client.get("/api/indices").text,
        client.post("/api/facets", json={}).text,
        client.get("/api/map").text,
        client.get("/metrics").text,
        client.get("/openapi.json").text,
        client.post("/api/metadata", json={"rows": list(range(60))}).text,
        knn(client, texts=[{"text": "red"}], k=60).text,
        client.post("/api/export", json={"rows": [1, 2], "format": "csv"}).text,
    ]
    for text in texts:
        for secret in ("told to nobody", "_note", "private", "offset", str(colours_folder.parent)):
            assert secret not in text


def test_metadata_facets_and_the_map(client: TestClient) -> None:
    rows = client.post("/api/metadata", json={"rows": [59, 5]}).json()["rows"]
    assert [row["columns"]["text"] for row in rows] == ["blue number 59", "blue number 5"]
    assert rows[1]["columns"]["punsafe"] is None
    assert client.post("/api/metadata", json={"rows": [60]}).status_code == 404
    told = client.post("/api/facets", json={"values": {"language": ["en"]}}).json()
    assert told["rows"] == 20
    for wrong in ("{", '{"a": 1}', '{"values": {"x": ["y"]}}'):
        assert client.post("/api/facets", content=wrong, headers=JSON).status_code == 422
    assert len(client.get("/api/map").json()["concepts"]) >= 3
    about = client.get("/api/indices").json()
    assert (about["rows"], set(about["indices"]), about["can"]["safe"]) == (60, {"image", "text"}, True)


def test_a_selection_is_a_file(client: TestClient, tmp_path: Path) -> None:
    answer = client.post("/api/export", json={"rows": [4, 2], "format": "parquet"})
    assert answer.headers["content-disposition"] == 'attachment; filename="subset.parquet"'
    assert pq.read_table(io.BytesIO(answer.content))["text"].to_pylist() == ["green number 4", "=cmd()|blue"]
    query = {"texts": [{"text": "green"}], "safe": False}
    found = client.post("/api/export", json={"query": query, "above": 0.9, "format": "uids"})
    uids = np.load(io.BytesIO(found.content))
    assert len(uids) == int(found.headers["x-rows"]) == 20
    for wrong in ({}, {"rows": [1, 1]}, {"rows": [99]}, {"rows": [1], "format": "exe"}):
        assert client.post("/api/export", json=wrong).status_code in (404, 422)


def test_exports_leave_no_file_behind(client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert client.post("/api/export", json={"rows": [1]}).status_code == 200
    assert client.post("/api/export", json={"rows": [1, 1]}).status_code == 422
    assert list(tmp_path.iterdir()) == []


def test_the_page_is_closed_to_the_outside(client: TestClient) -> None:
    for path, kind in (("/", "text/html"), ("/app.js", "text/javascript"), ("/style.css", "text/css")):
        answer = client.get(path)
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith(kind)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http://" not in answer.text.replace("http://www.w3.org/2000/svg", "")
        assert "https://" not in answer.text
        assert "innerHTML" not in answer.text
    assert client.get("/").headers["x-frame-options"] == "DENY"


def test_other_host_names_are_refused_without_a_token(service: RetrievalService) -> None:
    with TestClient(create_app(service), base_url="http://evil.example") as client:
        assert client.get("/api/indices").status_code == 400


def test_the_token_is_asked_for_everywhere_but_health(service: RetrievalService) -> None:
    with TestClient(create_app(service, token=TOKEN), base_url="http://any.example") as client:
        assert client.get("/health").json() == {"status": "ok"}
        for path in (
            "/",
            "/app.js",
            "/metrics",
            "/api/indices",
            "/api/picture/1",
            "/api/map",
            "/api/facets",
            "/openapi.json",
        ):
            answer = client.get(path)
            assert answer.status_code == 401
            assert "Basic" in answer.headers["www-authenticate"]
        for wrong in ("Bearer wrong", TOKEN, "Basic !!!"):
            assert client.get("/api/indices", headers={"authorization": wrong}).status_code == 401
        basic = base64.b64encode(f"me:{TOKEN}".encode()).decode()
        for right in (f"Bearer {TOKEN}", f"Basic {basic}"):
            assert client.get("/api/indices", headers={"authorization": right}).status_code == 200


def test_others_need_a_token_of_length(service: RetrievalService) -> None:
    with pytest.raises(ValueError, match="so a token is needed"):
        serve(service, host="0.0.0.0")
    with pytest.raises(ValueError, match="at least 16"):
        serve(service, token="short")
    with pytest.raises(ValueError, match="port must lie"):
        serve(service, port=70_000)


def test_a_long_body_and_another_type_are_refused(service: RetrievalService) -> None:
    app = create_app(service, limits=Limits(bytes=2_000))
    with TestClient(app, base_url="http://localhost") as client:
        assert knn(client, texts=[{"text": "x" * 3_000}]).status_code == 413
        body = json.dumps({"texts": [{"text": "red"}]})
        assert client.post("/api/knn", content=body, headers={"content-type": "text/plain"}).status_code in (415, 422)


def test_metrics_count_what_was_answered(client: TestClient) -> None:
    knn(client, texts=[{"text": "red"}])
    client.get("/api/picture/1")
    client.get("/unknown/path")
    text = client.get("/metrics").text
    assert 'unseen_explorer_requests_total{path="/api/knn",status="200"} 1.0' in text
    assert 'path="/api/picture/"' in text
    assert 'path="other",status="404"' in text


def test_the_client_asks_and_tells_refusals(client: TestClient, tmp_path: Path) -> None:
    asking = ExplorerClient("http://localhost")
    asking.close()
    asking._http = client  # the same requests, without a socket
    assert ExplorerClient is Client
    found = asking.search(
        texts={"green": 1, "red": -0.1}, k=3, deduplicate=False, safe=False, ranges={"width": (None, 60)}
    )
    assert [hit["row"] % 3 for hit in found["hits"]] == [1] * 3
    (tmp_path / "red.png").write_bytes(picture((240, 9, 9)))
    hits = asking.search(images=[tmp_path / "red.png"], k=2, safe=False, deduplicate=False)["hits"]
    assert [hit["row"] % 3 for hit in hits] == [0, 0]
    assert asking.metadata([5])[0]["text"] == "blue number 5"
    assert asking.picture(5, 64)[:2] == b"\xff\xd8"
    assert asking.facets(values={"language": ["de"]})["rows"] == 20
    assert asking.indices()["rows"] == 60
    assert asking.map()
    file = asking.export(tmp_path / "found.parquet", query=asking.message(texts="green", safe=False), above=0.9)
    assert len(pq.read_table(file)) == 20
    with pytest.raises(ValueError, match=r"refuses \(422\): rows must hold"):
        asking.export(tmp_path / "none.csv", rows=[1, 1])
    assert not (tmp_path / "none.csv").exists()
    with pytest.raises(ValueError, match=r"refuses \(422\): the query has no direction|refuses \(422\): the text"):
        asking.search(texts="nothing known")


# -- what would take the server down -------------------------------------------------------------------------


def large(width: int, height: int, kind: str) -> str:
    stream = io.BytesIO()
    Image.new("RGB", (width, height), (240, 9, 9)).save(stream, kind)
    return base64.b64encode(stream.getvalue()).decode()


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_picture_is_small_before_it_is_looked_for(kind: str) -> None:
    from unseen.explorer.pictures import pictures_of

    one, two = pictures_of([large(3_200, 1_600, kind), large(30, 40, kind)], 6_000_000)
    assert max(one.size) == 768
    assert one.width == 2 * one.height
    assert two.size == (30, 40)
    assert abs(one.getpixel((5, 5))[0] - 240) < 8


def test_pictures_are_limited_together_before_one_is_decoded(
    client: TestClient, service: RetrievalService, monkeypatch: pytest.MonkeyPatch
) -> None:
    from unseen.explorer import pictures

    monkeypatch.setattr(pictures, "_opened", lambda *_: pytest.fail("it was decoded"))
    with TestClient(create_app(service, limits=Limits(pixels=10_000)), base_url="http://localhost") as small:
        answer = knn(small, images=[{"base64": large(80, 80, "PNG")}] * 2)
    assert answer.status_code == 422
    assert "have 12,800 pixels together; at most 10,000" in answer.json()["detail"]


def test_searches_by_pictures_wait_and_beyond_are_refused(
    service: RetrievalService, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading
    from concurrent.futures import ThreadPoolExecutor

    from unseen.explorer import app

    monkeypatch.setattr(app, "DECODED_AT_ONCE", 1)
    monkeypatch.setattr(app, "DECODED_WAITING", 1)
    go, here, most, lock = threading.Event(), [0], [0], threading.Lock()
    before = service.search

    def slow(query: Any) -> Any:
        with lock:
            here[0] += 1
            most[0] = max(most[0], here[0])
        go.wait(20)
        with lock:
            here[0] -= 1
        return before(query)

    monkeypatch.setattr(service, "search", slow)
    message = {"images": [{"base64": large(8, 8, "PNG")}], "k": 1}
    with TestClient(create_app(service), base_url="http://localhost") as client, ThreadPoolExecutor(6) as pool:
        asked = [pool.submit(knn, client, **message) for _ in range(6)]
        while sum(one.done() for one in asked) < 4:
            pass
        go.set()
        answers = [one.result() for one in asked]
    assert sorted(one.status_code for one in answers) == [200, 200, 503, 503, 503, 503]
    assert most == [1]
    refused = next(one for one in answers if one.status_code == 503)
    assert "too many requests" in refused.json()["detail"]


def test_numbers_beyond_all_rows_are_refused(client: TestClient) -> None:
    assert client.get(f"/api/picture/{10**25}").status_code == 404
    assert client.get(f"/api/picture/{2**40}", params={"side": 64}).status_code == 404
    assert client.post("/api/metadata", json={"rows": [10**25]}).status_code == 422
    assert client.post("/api/metadata", json={"rows": [2**50]}).status_code == 404
    assert client.post("/api/export", json={"rows": [10**25]}).status_code == 422
    assert knn(client, rows=[{"row": 10**25}]).status_code == 422
    filters = {"ranges": {"width": [1e300, None]}}
    assert knn(client, texts=[{"text": "red"}], filters=filters).json()["hits"] == []


def test_pictures_that_are_not_kept_are_not_found(tmp_path: Path) -> None:
    from unseen.curation.index import build_index

    from .conftest import Colours, coloured

    collection = coloured(tmp_path)
    build_index(collection)
    (collection.shards[0].folder / "images.tar").unlink()
    service = RetrievalService.open(tmp_path, encoder=Colours())
    with TestClient(create_app(service), base_url="http://localhost") as client:
        for more in ({}, {"side": 64}):
            answer = client.get("/api/picture/3", params=more)
            assert (answer.status_code, answer.json()["detail"]) == (404, "the picture of row 3 is not kept")
        assert client.get("/api/picture/31").status_code == 200


def test_pictures_are_known_again_by_the_rows(client: TestClient) -> None:
    first = client.get("/api/picture/3", params={"side": 64})
    tag = first.headers["etag"]
    assert "no-cache" in first.headers["cache-control"]
    again = client.get("/api/picture/3", params={"side": 64}, headers={"if-none-match": tag})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get("/api/picture/4", params={"side": 64}, headers={"if-none-match": tag}).status_code == 200
    assert client.get("/api/picture/3", headers={"if-none-match": tag}).status_code == 200


def test_other_pages_may_open_the_page_and_nothing_else(client: TestClient) -> None:
    for site, status in (("cross-site", 403), ("same-site", 403), ("same-origin", 200), ("none", 200)):
        assert client.get("/api/picture/1", headers={"sec-fetch-site": site}).status_code == status
        assert client.get("/", headers={"sec-fetch-site": site}).status_code == 200


def test_refusals_are_json_whatever_refuses(service: RetrievalService) -> None:
    app = create_app(service, limits=Limits(bytes=2_000, seconds=0.3))
    with TestClient(app, base_url="http://localhost") as client:
        assert "at most 2,000 bytes" in knn(client, texts=[{"text": "x" * 3_000}]).json()["detail"]

        def pieces() -> Iterator[bytes]:
            yield from [b"x" * 500] * 10

        chunked = client.post("/api/knn", content=pieces(), headers={"content-type": "application/json"})
        assert (chunked.status_code, "at most" in chunked.json()["detail"]) == (413, True)


def test_a_body_that_does_not_arrive_is_given_up() -> None:
    import asyncio

    from unseen.explorer.guard import Guard

    sent: list[Any] = []

    async def never() -> Any:
        await asyncio.sleep(30)

    async def send(message: Any) -> None:
        sent.append(message)

    async def app(*_: Any) -> None:
        pytest.fail("it was asked")

    scope = {"type": "http", "method": "POST", "path": "/api/knn", "headers": [(b"content-length", b"10")]}
    asyncio.run(Guard(app, token=None, longest=100, seconds=0.05)(scope, never, send))
    assert sent[0]["status"] == 408
    assert "took more than 0.05 seconds" in json.loads(sent[1]["body"])["detail"]


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ({"rows": [1], "query": {"texts": [{"text": "red"}]}}, "either rows or a query or filters"),
        ({"rows": [1], "above": 0.3}, "above needs a query"),
        ({"query": {"texts": [{"text": "red"}]}, "above": 1.0}, "nothing was found, so nothing is written"),
    ],
)
def test_what_an_export_would_ignore_is_refused(client: TestClient, message: dict[str, Any], told: str) -> None:
    answer = client.post("/api/export", json=message)
    assert (answer.status_code, told in answer.json()["detail"]) == (422, True), answer.text


def test_an_export_that_is_cut_says_so(client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from unseen.explorer import app

    message = {"query": {"texts": [{"text": "green"}], "safe": False}, "above": 0.9}
    whole = client.post("/api/export", json=message)
    assert (whole.headers["x-truncated"], whole.headers["x-found"]) == ("false", "20")
    monkeypatch.setattr(app, "MOST_ROWS", 7)
    cut = client.post("/api/export", json=message)
    assert [cut.headers[f"x-{name}"] for name in ("rows", "found", "truncated")] == ["7", "20", "true"]
    assert len(pq.read_table(io.BytesIO(cut.content))) == 7
    asking = ExplorerClient("http://localhost")
    asking.close()
    asking._http = client
    with pytest.warns(UserWarning, match="the first 7 of 20 rows"):
        asking.export(tmp_path / "a.csv", query=message["query"], above=0.9)
    monkeypatch.setattr(app, "MOST_BYTES", 100)
    assert "GB are written at once" in client.post("/api/export", json={**message, "format": "webdataset"}).text


def test_without_an_encoder_the_page_says_why(colours_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from unseen import encoders

    def away(name: str, **_: Any) -> Any:
        raise ConnectionError(f"no way to https://example.org/{name}")

    monkeypatch.setattr(encoders, "get", away)
    service = RetrievalService.open(colours_folder)
    service.warm()
    with TestClient(create_app(service), base_url="http://localhost") as client:
        can = client.get("/api/indices").json()["can"]
        assert (can["text"], "ConnectionError" in can["why_not"]) == (False, True)
        assert "example.org" not in can["why_not"]
        assert len(knn(client, rows=[{"row": 1}], k=3, safe=False, deduplicate=False).json()["hits"]) == 3
        answer = knn(client, texts=[{"text": "red"}])
        assert (answer.status_code, "cannot be loaded here" in answer.json()["detail"]) == (422, True)


# -- the map, tags, browsing ---------------------------------------------------------------------------------


@pytest.fixture
def own(tmp_path: Path) -> Iterator[TestClient]:
    """An explorer over a collection of its own, which may be written."""
    from unseen.curation.concept_map import build_map
    from unseen.curation.index import build_index

    from .conftest import Colours, coloured

    collection = coloured(tmp_path / "data")
    build_index(collection)
    build_map(collection)
    app = create_app(RetrievalService.open(tmp_path / "data", encoder=Colours()))
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as client:
        yield client


def bits(*rows: int, n: int = 60) -> str:
    mask = np.zeros(n, bool)
    mask[list(rows)] = True
    return base64.b64encode(np.packbits(mask, bitorder="little").tobytes()).decode()


def test_rows_chosen_by_hand_filter_everything(client: TestClient) -> None:
    filters = {"among": bits(1, 4, 59)}
    told = client.post("/api/browse", json={"filters": filters}).json()
    assert ([one["row"] for one in told["rows"]], told["allowed"]) == ([1, 4, 59], 3)
    assert told["rows"][1]["columns"]["text"] == "green number 4"
    assert told["rows"][1]["tags"] == []
    assert client.post("/api/facets", json=filters).json()["rows"] == 3
    assert {hit["row"] for hit in knn(client, rows=[{"row": 1}], filters=filters, safe=False).json()["hits"]} <= {
        1,
        4,
        59,
    }
    passing = client.post("/api/passing", json={**filters, "values": {"language": ["de"]}}).content
    assert np.flatnonzero(np.unpackbits(np.frombuffer(passing, np.uint8), bitorder="little")).tolist() == [1, 4]
    assert client.post("/api/passing", json={}).content == b"\xff" * 7 + b"\x0f"
    file = client.post("/api/export", json={"filters": filters, "format": "csv"})
    assert file.headers["x-rows"] == "3"


@pytest.mark.parametrize(
    ("path", "message", "told"),
    [
        ("browse", {"filters": {"among": "###"}}, "among must be bits in base64"),
        ("browse", {"filters": {"among": bits(1, n=8)}}, "a bit for each of 60 rows, 8 bytes; got 1"),
        ("browse", {"most": 0}, "greater than or equal to 1"),
        ("browse", {"most": 10_000}, "less than or equal to 1000"),
        ("browse", {"first": -1}, "greater than or equal to 0"),
        ("browse", {"sort": "_note"}, "no column of numbers"),
        ("browse", {"file": "x"}, "Extra inputs"),
        ("facets", {"tags": ["x" * 61]}, "at most 60 characters"),
        ("tags", {"tag": "a"}, "either rows or filters"),
        ("tags", {"tag": "a", "rows": [1], "filters": {}}, "either rows or filters"),
        ("tags", {"tag": "", "rows": [1]}, "at least 1 character"),
        ("tags", {"tag": " ", "rows": [1]}, "1 to 60 printable characters"),
        ("tags", {"tag": "a\nb\x07", "rows": [1]}, "1 to 60 printable characters"),
        ("export", {"filters": {"among": bits()}}, "nothing was found"),
        ("export", {"filters": {}, "rows": [1]}, "either rows or a query or filters"),
    ],
)
def test_wrong_messages_are_one_sentence(client: TestClient, path: str, message: dict[str, Any], told: str) -> None:
    answer = client.post(f"/api/{path}", json=message)
    assert (answer.status_code, told in answer.json()["detail"]) == (422, True), answer.text


def test_tags_are_put_on_and_taken_off(own: TestClient, tmp_path: Path) -> None:
    assert own.post("/api/tags", json={"tag": "red ones", "rows": [0, 3]}).json() == {
        "changed": 2,
        "tags": [["red ones", 2]],
    }
    many = own.post("/api/tags", json={"tag": "en", "filters": {"values": {"language": ["en"]}}}).json()
    assert many == {"changed": 20, "tags": [["en", 20], ["red ones", 2]]}
    everything = own.post("/api/tags", json={"tag": "all", "filters": {}}).json()
    assert everything["changed"] == 60
    assert own.post("/api/tags", json={"tag": "all", "filters": {}, "on": False}).json()["changed"] == 60
    assert len((tmp_path / "data" / "tags.jsonl").read_text().splitlines()) == 20
    assert own.get("/api/tags").json() == {"tags": [["en", 20], ["red ones", 2]]}
    told = own.post("/api/facets", json={"tags": ["red ones"]}).json()
    assert (told["rows"], told["tags"], told["untagged"]) == (2, [["en", 2], ["red ones", 2]], 0)
    assert own.post("/api/browse", json={"filters": {"tags": ["", "red ones"]}}).json()["allowed"] == 42
    hits = knn(own, rows=[{"row": 0}], filters={"tags": ["red ones"]}, safe=False, deduplicate=False).json()["hits"]
    assert [(hit["row"], hit["tags"]) for hit in hits] == [(0, ["en", "red ones"]), (3, ["en", "red ones"])]
    assert own.post("/api/tags", json={"tag": "a", "rows": [60]}).status_code == 404
    asking = ExplorerClient("http://localhost")
    asking.close()
    asking._http = own
    assert asking.tag("mine", [5]) == 1
    assert asking.tags() == {"en": 20, "mine": 1, "red ones": 2}
    assert asking.tag("mine", [5], on=False) == 1
    assert asking.browse(tags=["red ones"])["allowed"] == 2
    assert len(pq.read_table(asking.export(tmp_path / "a.parquet", tags=["red ones"]))) == 2


def test_tags_that_cannot_be_written_are_told(own: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    from unseen.curation import tags

    def full(file: Any) -> Any:
        raise OSError(28, "No space left on device", str(file))

    monkeypatch.setattr(tags, "replacing", full)
    answer = own.post("/api/tags", json={"tag": "a", "rows": [1]})
    assert (answer.status_code, answer.json()["detail"]) == (
        507,
        "the tags could not be written: No space left on device",
    )
    assert own.get("/api/tags").json() == {"tags": []}


def test_every_pair_has_a_point_and_a_colour(client: TestClient, service: RetrievalService) -> None:
    answer = client.get("/api/points")
    places = np.frombuffer(answer.content, "<u2").reshape(-1, 2)
    assert len(places) == 60
    assert (places.min(), places.max()) == (0, 65_535)
    again = client.get("/api/points", headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    for by, kind in (("group", "words"), ("tags", "words"), ("column:language", "words"), ("column:width", "numbers")):
        content = client.get("/api/colours", params={"by": by}).content
        length = int.from_bytes(content[:4], "little")
        told, codes = json.loads(content[4 : 4 + length]), np.frombuffer(content[4 + length :], np.uint8)
        assert (told["kind"], told["by"], len(codes)) == (kind, by, 60)
        if by == "column:language":
            assert [told["values"][code] for code in codes[:3]] == ["en", "de", ""]
        if by == "column:width":
            assert (np.diff(codes.astype(int)) >= 0).all()
            assert (codes[0], codes[59]) == (0, 254)
        if by == "tags":
            assert set(codes) == {255}
    for wrong in ("", "x", "column:_note", "column:text", "column:../../etc"):
        assert client.get("/api/colours", params={"by": wrong}).status_code == 422


def test_without_a_map_the_page_says_how_to_build_it(tmp_path: Path) -> None:
    from unseen.curation.index import build_index

    from .conftest import Colours, coloured

    build_index(coloured(tmp_path))
    with TestClient(
        create_app(RetrievalService.open(tmp_path, encoder=Colours())), base_url="http://localhost"
    ) as client:
        assert client.get("/api/indices").json()["map"] is False
        for path in ("/api/map", "/api/points", "/api/colours?by=group"):
            answer = client.get(path)
            assert (answer.status_code, "unseen explore DATA --build" in answer.json()["detail"]) == (404, True)
        assert client.post("/api/browse", json={}).json()["allowed"] == 60


def test_one_pair_without_caption_or_picture_is_shown(tmp_path: Path) -> None:
    import pyarrow as pa

    from unseen.curation.collection import Collection, EncoderRecord, write_record, write_shard
    from unseen.curation.concept_map import build_map
    from unseen.curation.index import build_index

    from .conftest import Colours

    write_record(tmp_path, EncoderRecord("colours", Colours.fingerprint, 4))
    with pytest.raises(ValueError, match="holds no shard yet"):
        build_map(Collection.open(tmp_path))
    table = pa.table({"uid": ["a"], "text": pa.array([None], pa.string())})
    broken = b"\xff\xd8\xff no picture"
    write_shard(tmp_path, 0, table, [broken], {"image": np.eye(1, 4)})
    collection = Collection.open(tmp_path)
    build_index(collection)
    assert [concept.words for concept in build_map(collection).concepts] == [()]
    with TestClient(
        create_app(RetrievalService.open(tmp_path, encoder=Colours())), base_url="http://localhost"
    ) as client:
        told = client.post("/api/browse", json={}).json()
        assert (told["allowed"], told["rows"][0]["columns"]["text"]) == (1, None)
        assert len(client.get("/api/points").content) == 4
        answer = client.get("/api/picture/0", params={"side": 64})
        assert answer.status_code == 422
        assert client.post("/api/facets", json={}).json()["rows"] == 1


def test_the_page_has_the_look_of_the_reports(client: TestClient) -> None:
    from unseen.report.pages import stylesheet

    assert client.get("/style.css").text.startswith(stylesheet())
