"""The HTTP application: the page, searches, rows, pictures, counts, exports, the map."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from functools import lru_cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, TypeVar

import pydantic
from fastapi import FastAPI, HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware

from unseen.curation.collection import suffix_of
from unseen.curation.concept_map import read_map
from unseen.curation.export import SUFFIXES, export_subset
from unseen.curation.retrieval import RetrievalService
from unseen.data.images import MAX_PIXELS, decode, thumbnail
from unseen.explorer.guard import Guard
from unseen.explorer.messages import (
    MOST_ROWS,
    ExportMessage,
    FilterMessage,
    QueryMessage,
    RowsMessage,
    plain,
    told,
)
from unseen.explorer.metrics import PATHS, Metrics
from unseen.serving.app import LOCAL
from unseen.serving.limits import Limits
from unseen.serving.metrics import Measured

FOLDER = Path(__file__).parent

FILES = {
    "/": ("page.html", "text/html"),
    "/app.js": ("page.js", "text/javascript"),
    "/style.css": ("page.css", "text/css"),
}
"""The page: no other file of this machine is served."""

SIDES = (64, 1024)
"""Pixels that a small picture may be asked to have."""

AT_ONCE = 8
"""Searches and exports that are under way at once; others wait."""

KEPT_PICTURES = 2_000

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
    state: dict[str, asyncio.Semaphore] = {}

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        state["room"] = asyncio.Semaphore(AT_ONCE)
        yield

    async def work(job: Callable[..., T], *arguments: Any) -> T:
        """Run a job in a thread; what the user did wrong is told with 422, a row that is not there with 404."""
        try:
            async with state["room"]:
                return await asyncio.to_thread(job, *arguments)
        except IndexError as error:
            raise HTTPException(404, str(error)) from error
        except ValueError as error:
            raise HTTPException(422, str(error)) from error

    app = FastAPI(title="unseen explore", version=version("unseen"), lifespan=lifespan, docs_url=None, redoc_url=None)
    app.add_middleware(Measured, metrics=metrics, paths=PATHS)
    for one in (StarletteHTTPException, RequestValidationError, Exception):
        app.add_exception_handler(one, _problem)

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
        query = await work(message.query, limits.pixels)
        results = await work(service.search, query)
        metrics.search.observe(results.seconds)
        metrics.hits.inc(len(results.hits))
        for why, count in results.removed.items():
            metrics.removed.labels(why).inc(count)
        return told(results)

    @app.post("/api/metadata", summary="What the collection says of rows")
    async def metadata(message: RowsMessage) -> dict[str, Any]:
        rows = await work(service.metadata, message.rows)
        return {"rows": [{"row": row, "columns": plain(one)} for row, one in zip(message.rows, rows)]}

    @app.get("/api/picture/{row}", summary="A picture, small, or its file as it was kept", response_class=Response)
    async def picture(row: int, side: Annotated[int | None, Query(ge=SIDES[0], le=SIDES[1])] = None) -> Response:
        kept = {"cache-control": "private, max-age=3600"}
        if side is not None:
            return Response(await work(small, row, side), media_type="image/jpeg", headers=kept)
        content = await work(service.picture, row)
        kind = {"jpg": "jpeg"}.get(suffix := suffix_of(content), suffix)
        return Response(content, media_type=f"image/{kind}", headers=kept)

    @app.get("/api/facets", summary="Counts of the rows that pass filters")
    async def facets(filters: Annotated[str, Query(max_length=10_000, description="JSON")] = "{}") -> dict[str, Any]:
        try:
            message = FilterMessage.model_validate_json(filters)
        except pydantic.ValidationError as error:
            raise HTTPException(422, f"filters: {error.errors()[0]['msg']}") from error
        return await work(service.facets, message.filters())

    @app.post("/api/export", summary="A selection as a file", response_class=FileResponse)
    async def export(message: ExportMessage) -> FileResponse:
        file, rows = await work(_exported, service, message, limits.pixels)
        metrics.exported.inc(rows)
        return FileResponse(
            file,
            media_type="application/octet-stream",
            filename=f"subset{file.suffix}",
            headers={"x-rows": str(rows)},
            background=BackgroundTask(_forget, file),
        )

    @app.get("/api/map", summary="Groups of pairs on a plane")
    async def concepts() -> dict[str, Any]:
        try:
            return {"concepts": await asyncio.to_thread(read_map, service.collection)}
        except ValueError as error:
            raise HTTPException(404, str(error)) from error

    guarded: Any = app
    if token is None:
        guarded = TrustedHostMiddleware(guarded, allowed_hosts=list(hosts), www_redirect=False)
    return Guard(guarded, token=token, longest=limits.bytes)


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
            "text": encoder is not None,
            "safe": "punsafe" in columns.numeric,
            "aesthetic": sorted(service.ratings) if _steers(service) else [],
        },
        "most": {"hits": 1_000, "rows": MOST_ROWS},
    }


def _steers(service: RetrievalService) -> bool:
    return "aesthetic" in service.scores and "image" in service.indices


def _exported(service: RetrievalService, message: ExportMessage, max_pixels: int) -> tuple[Path, int]:
    """Write a selection into a file of its own; how many rows it has."""
    similarity: Any = None
    rows: Any = message.rows
    if message.query is not None:
        query = message.query.query(max_pixels)
        if message.above is not None:
            similarity, rows = service.above(query, message.above, most=MOST_ROWS)
        else:
            hits = service.search(query).hits
            rows, similarity = [hit.row for hit in hits], [hit.similarity for hit in hits]
    suffix = next(ending for ending, format in SUFFIXES.items() if format == message.format)
    folder = Path(tempfile.mkdtemp(prefix="unseen-export-"))
    file = folder / f"subset{suffix}"
    try:
        return export_subset(service, rows, file, similarity=similarity), len(rows)
    except BaseException:
        folder.rmdir()
        raise


def _forget(file: Path) -> None:
    file.unlink(missing_ok=True)
    file.parent.rmdir()


async def _file(name: str, kind: str) -> FileResponse:
    return FileResponse(FOLDER / name, media_type=kind)


async def _problem(_: Request, error: Exception) -> JSONResponse:
    """Every error as a JSON object with one sentence that tells nothing of the machine."""
    if isinstance(error, StarletteHTTPException):
        return JSONResponse({"detail": error.detail}, error.status_code, error.headers)
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        return JSONResponse({"detail": f"{'.'.join(map(str, first['loc']))}: {first['msg']}"}, 422)
    return JSONResponse({"detail": "the server failed; its log says why"}, 500)
