"""The HTTP application: the page, searches, rows, pictures, counts, tags, exports, the map."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from functools import cache, lru_cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
from fastapi import FastAPI, HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware

from unseen.curation.collection import suffix_of
from unseen.curation.export import SUFFIXES, export_subset
from unseen.curation.retrieval import Results, RetrievalService
from unseen.data.images import MAX_PIXELS, decode, thumbnail
from unseen.explorer.guard import Guard
from unseen.explorer.messages import (
    MOST_ROWS,
    BrowseMessage,
    ExportMessage,
    FilterMessage,
    QueryMessage,
    RowsMessage,
    TagMessage,
    row_of,
    told,
)
from unseen.explorer.metrics import PATHS, SCRIPTS, Metrics
from unseen.explorer.points import colours, passing, places
from unseen.explorer.room import Room
from unseen.report.pages import stylesheet, templates
from unseen.serving.app import LOCAL, Problem
from unseen.serving.limits import Limits
from unseen.serving.metrics import Measured

FOLDER = Path(__file__).parent

FILES = {
    "/": ("page.html", "text/html"),
    "/style.css": ("page.css", "text/css"),
    **{f"/{name}.js": (f"{name}.js", "text/javascript") for name in SCRIPTS},
}
"""The page: no other file of this machine is served."""

SIDES = (64, 1024)
"""Pixels that a small picture may be asked to have."""

AT_ONCE, WAITING = 8, 64
"""Searches, pictures and exports that are under way at once, and others that wait for them."""

DECODED_AT_ONCE, DECODED_WAITING = 2, 16
"""The same of searches by pictures: each may take 200 MB until its pictures are small."""

MOST_BYTES = 2 * 2**30
"""Bytes of pictures in one export."""

KEPT_PICTURES = 2_000

KEPT = "private, no-cache"
"""A browser keeps it, and asks whether it is still so: rows can become others."""

T = TypeVar("T")


def create_app(
    service: RetrievalService,
    *,
    title: str = "",
    limits: Limits | None = None,
    token: str | None = None,
    hosts: Sequence[str] = LOCAL,
) -> Any:
    """Return the application over one collection.

    Parameters
    ----------
    service : RetrievalService
    title : str
        What the page calls the collection; the name of its folder if absent.
    limits : Limits, optional
        Bytes of a body and pixels of a picture.
    token : str, optional
        What requests must carry.
    hosts : sequence of str
        Without a token, only requests that name one of these as their host are answered, so that no web page can ask
        through a name of its own that leads here.
    """
    limits = limits or Limits()
    metrics = Metrics()
    rooms: dict[str, Room] = {}
    edition = hashlib.sha256(service.collection.order.encode()).hexdigest()[:16]

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        rooms.update(all=Room(AT_ONCE, WAITING), decoding=Room(DECODED_AT_ONCE, DECODED_WAITING))
        yield

    async def work(job: Callable[..., T], *arguments: Any, decodes: bool = False) -> T:
        """Run a job in a thread where there is room."""
        return await rooms["decoding" if decodes else "all"].run(job, *arguments)

    app = FastAPI(
        title="unseen explore",
        version=version("unseen"),
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        responses={422: {"model": Problem, "description": "What is wrong with the request, in one sentence"}},
    )
    app.add_middleware(Measured, metrics=metrics, paths=PATHS)
    for error in (StarletteHTTPException, RequestValidationError, Exception):
        app.add_exception_handler(error, _problem)

    @lru_cache(KEPT_PICTURES)
    def small(row: int, side: int) -> bytes:
        return thumbnail(decode(service.picture(row), max_pixels=MAX_PIXELS), side)

    for path, (name, kind) in FILES.items():
        app.add_api_route(path, partial(_file, name, kind), include_in_schema=False)

    @app.get("/favicon.ico", include_in_schema=False)
    async def icon() -> Response:
        return Response(status_code=204)

    @app.get("/health", summary="Whether the server answers")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/metrics", summary="Counts and times for Prometheus", response_class=Response)
    async def numbers() -> Response:
        return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)

    @app.get("/api/indices", summary="What can be searched, and how well")
    async def indices() -> dict[str, Any]:
        return await work(_about, service, title)

    @app.post("/api/knn", summary="Search")
    async def knn(message: QueryMessage) -> dict[str, Any]:
        def found() -> tuple[Results, list[list[str]]]:
            results = service.search(message.query(limits.pixels, len(service)))
            return results, service.tags.of(results.rows)

        results, tags = await work(found, decodes=bool(message.images))
        metrics.search.observe(results.seconds)
        metrics.hits.inc(len(results.hits))
        for why, count in results.removed.items():
            metrics.removed.labels(why).inc(count)
        return told(results, tags)

    @app.post("/api/metadata", summary="What the collection says of rows")
    async def metadata(message: RowsMessage) -> dict[str, Any]:
        return {"rows": await work(_rows, service, message.rows)}

    @app.post("/api/browse", summary="Rows that pass filters, some at a time")
    async def browse(message: BrowseMessage) -> dict[str, Any]:
        return await work(_browsed, service, message)

    @app.get("/api/picture/{row}", summary="A picture, small, or its file as it was kept", response_class=Response)
    async def picture(
        request: Request, row: int, side: Annotated[int | None, Query(ge=SIDES[0], le=SIDES[1])] = None
    ) -> Response:
        tag = f'"{edition}-{row}-{side or 0}"'
        kept = {"cache-control": KEPT, "etag": tag}
        if 0 <= row < len(service) and request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=kept)
        if side is not None:
            return Response(await work(small, row, side), media_type="image/jpeg", headers=kept)
        content = await work(service.picture, row)
        kind = {"jpg": "jpeg"}.get(suffix := suffix_of(content), suffix)
        return Response(content, media_type=f"image/{kind}", headers=kept)

    @app.post("/api/facets", summary="Counts of the rows that pass filters")
    async def facets(message: FilterMessage) -> dict[str, Any]:
        return await work(lambda: service.facets(message.filters(len(service))))

    @app.post("/api/passing", summary="Which rows pass filters, a bit each", response_class=Response)
    async def passes(message: FilterMessage) -> Response:
        return _bytes(await work(lambda: passing(service, message.filters(len(service)))))

    @app.get("/api/tags", summary="The tags and how many pairs have each")
    async def tags() -> dict[str, Any]:
        return {"tags": await work(lambda: service.tags.counts())}

    @app.post("/api/tags", summary="Put a tag on rows, or take it off")
    async def tag(message: TagMessage) -> dict[str, Any]:
        return await work(_tagged, service, message)

    @app.post("/api/export", summary="A selection as a file", response_class=FileResponse)
    async def export(message: ExportMessage) -> FileResponse:
        decodes = message.query is not None and bool(message.query.images)
        file, rows, n_found = await work(_exported, service, message, limits.pixels, decodes=decodes)
        metrics.exported.inc(rows)
        return FileResponse(
            file,
            media_type="application/octet-stream",
            filename=f"subset{file.suffix}",
            headers={"x-rows": str(rows), "x-found": str(n_found), "x-truncated": str(rows < n_found).lower()},
            background=BackgroundTask(_forget, file),
        )

    @app.get("/api/map", summary="Groups of pairs on a plane")
    async def concepts() -> dict[str, Any]:
        drawn = await work(lambda: service.map)
        if drawn is None:
            raise HTTPException(404, service.no_map)
        return {"concepts": [dataclasses.asdict(concept) for concept in drawn.concepts]}

    @app.get("/api/points", summary="Where every pair lies on it, as bytes", response_class=Response)
    async def points(request: Request) -> Response:
        tag = f'"{edition}-points"'
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers={"etag": tag, "cache-control": KEPT})
        return _bytes(await work(places, service), {"etag": tag, "cache-control": KEPT})

    @app.get("/api/colours", summary="What every pair is coloured by, as bytes", response_class=Response)
    async def coloured(by: Annotated[str, Query(max_length=200)] = "group") -> Response:
        return _bytes(await work(colours, service, by))

    guarded: Any = app
    if token is None:
        guarded = TrustedHostMiddleware(guarded, allowed_hosts=list(hosts), www_redirect=False)
    return Guard(guarded, token=token, longest=limits.bytes, seconds=limits.seconds)


def _about(service: RetrievalService, title: str) -> dict[str, Any]:
    """The indices, without a path of this machine."""
    encoder = service.collection.encoder
    shown = ("key", "rows", "dim", "recall", "memory", "latency", "parameters", "reconstruction_error")
    columns = service.columns
    return {
        "title": title or service.collection.folder.name,
        "rows": len(service),
        "encoder": encoder.name if encoder else None,
        "indices": {
            side: {name: getattr(index.record, name) for name in shown} for side, index in service.indices.items()
        },
        "columns": list(columns.names),
        "numbers": list(columns.numeric),
        "words": list(columns.words),
        "can": {
            "text": service.encoders.reason is None,
            "why_not": service.encoders.reason,
            "safe": "punsafe" in columns.numeric,
            "aesthetic": sorted(service.ratings) if _steers(service) else [],
            "combine": service.compose is not np.add,
            "near": not service.by_file,
        },
        "languages": {"tower": service.encoders.other.get("name"), "why_not": service.encoders.other_reason},
        "stale": dict(service.stale),
        "map": service.map is not None,
        "most": {"hits": 1_000, "rows": MOST_ROWS},
    }


def _rows(service: RetrievalService, rows: Sequence[int]) -> list[dict[str, Any]]:
    """What the collection says of rows, and their tags."""
    return [row_of(*parts) for parts in zip(rows, service.metadata(rows), service.tags.of(rows))]


def _browsed(service: RetrievalService, message: BrowseMessage) -> dict[str, Any]:
    filters = message.filters.filters(len(service))
    rows, allowed = service.browse(
        filters,
        first=message.first,
        most=message.most,
        sort=message.sort,
        descending=message.descending,
    )
    return {"rows": _rows(service, rows.tolist()), "allowed": allowed}


def _tagged(service: RetrievalService, message: TagMessage) -> dict[str, Any]:
    """Put a tag on, or take it off; what could not be written is told, and then nothing has changed."""
    rows: Any = message.rows
    if message.filters is not None:
        within = service.mask(message.filters.filters(len(service)))
        rows = np.ones(len(service), bool) if within is None else within
    try:
        changed = (service.tags.add if message.on else service.tags.remove)(message.tag, rows)
    except OSError as error:
        raise HTTPException(507, f"the tags could not be written: {error.strerror or error}") from error
    return {"changed": changed, "tags": service.tags.counts()}


def _bytes(content: bytes, headers: dict[str, str] | None = None) -> Response:
    return Response(content, media_type="application/octet-stream", headers=headers)


def _steers(service: RetrievalService) -> bool:
    return "aesthetic" in service.scores and "image" in service.indices


def _exported(service: RetrievalService, message: ExportMessage, max_pixels: int) -> tuple[Path, int, int]:
    """Write a selection into a file of its own; how many rows it has, and how many were found."""
    similarity: Any = None
    rows: Any = message.rows
    if message.filters is not None:
        rows, _ = service.browse(message.filters.filters(len(service)), most=len(service))
    if message.query is not None:
        query = message.query.query(max_pixels, len(service))
        if message.above is not None:
            similarity, rows = service.above(query, message.above)
        else:
            hits = service.search(query).hits
            rows, similarity = [hit.row for hit in hits], [hit.similarity for hit in hits]
    if not len(rows):
        raise ValueError("nothing was found, so nothing is written; lower `above` or loosen the filters")
    n_found = len(rows)
    rows, similarity = rows[:MOST_ROWS], None if similarity is None else similarity[:MOST_ROWS]
    if message.format == "webdataset" and (size := int(service.columns.sizes(rows).sum())) > MOST_BYTES:
        raise ValueError(
            f"the pictures take {size / 1e9:.1f} GB; at most {MOST_BYTES / 1e9:.1f} GB are written at once"
        )
    suffix = next(ending for ending, format in SUFFIXES.items() if format == message.format)
    folder = Path(tempfile.mkdtemp(prefix="unseen-export-"))
    file = folder / f"subset{suffix}"
    try:
        return export_subset(service, rows, file, similarity=similarity), len(rows), n_found
    except BaseException:
        folder.rmdir()
        raise


def _forget(file: Path) -> None:
    file.unlink(missing_ok=True)
    file.parent.rmdir()


async def _file(name: str, kind: str) -> Response:
    return Response(_content(name), media_type=kind, headers={"cache-control": "no-cache"})


@cache
def _content(name: str) -> str:
    """A file of the page; its style begins with the look of all pages."""
    if name.endswith(".html"):
        return templates(FOLDER).get_template(name).render(policy="")
    return stylesheet(FOLDER / name) if name.endswith(".css") else (FOLDER / name).read_text(encoding="utf-8")


async def _problem(_: Request, error: Exception) -> JSONResponse:
    """Every error as a JSON object with one sentence that tells nothing of the machine."""
    if isinstance(error, StarletteHTTPException):
        return JSONResponse({"detail": error.detail}, error.status_code, error.headers)
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        return JSONResponse({"detail": f"{'.'.join(map(str, first['loc']))}: {first['msg']}"}, 422)
    return JSONResponse({"detail": "the server failed; its log says why"}, 500)
