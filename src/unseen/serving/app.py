"""The HTTP application: predict, health, metrics, the model, its OpenAPI."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import Annotated, Any

import torch
from fastapi import Depends, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, Field
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from unseen.serving.access import ELSEWHERE, allowed, host_name, is_foreign
from unseen.serving.batching import Batcher
from unseen.serving.bodies import Bodies
from unseen.serving.clips import example as example_clip
from unseen.serving.front import address, example, front, lines
from unseen.serving.limits import MAX_TEXT, Limits
from unseen.serving.manual import manual
from unseen.serving.metrics import Measured, Metrics
from unseen.serving.mistakes import FIELD, sentence
from unseen.serving.model import Answer, Served
from unseen.serving.room import Held, Room
from unseen.serving.rows import ServedRows
from unseen.serving.sounds import example as example_sound
from unseen.serving.turns import Busy, Turns

MOST = 100
"""Classes that one answer may name."""


class Ranked(BaseModel):
    """A class and its probability."""

    name: str = Field(serialization_alias="class")
    probability: float


class Prediction(Ranked):
    """What the model says of one sample."""

    name: str | None = Field(serialization_alias="class", description="null if unknown and `abstain` is asked for")  # type: ignore[assignment]
    unknown: bool = Field(description="whether the model rejects the sample or is not sure")
    top: list[Ranked] = Field(description="the most probable classes")


class Predictions(BaseModel):
    """Predictions in the order of the samples."""

    predictions: list[Prediction]


class Answers(BaseModel):
    """Answers in the order of the samples, of a model that names no classes."""

    answers: list[list[dict[str, Any]]] = Field(
        description="rows of each sample, the best first: `answer`, a line for people, and what else there is to tell"
    )


class Problem(BaseModel):
    """Why there is no answer."""

    detail: str


class Health(BaseModel):
    """That the server answers."""

    status: str


class About(BaseModel):
    """What is served."""

    title: str = Field(description="what the model does")
    paper: str = Field(description="title of the paper that its method is from")
    method: str
    kind: str
    classes: list[str]
    features: list[str] = Field(description="what the numbers of a vector are called, in order; empty without names")
    limits: dict[str, int]
    credits: list[str]


TEXT = {"type": "string"}

BEARER = HTTPBearer(auto_error=False, description="The token that the server was started with.")

LOCAL = ("localhost", "127.0.0.1", "::1", "[::1]")
"""Names that this machine has for itself."""


def create_app(
    served: Served | ServedRows, *, limits: Limits | None = None, token: str | None = None, hosts: Sequence[str] = LOCAL
) -> FastAPI:
    """Return the application of one model.

    Parameters
    ----------
    served : Served or ServedRows
        The model.
    limits : Limits, optional
        What a request may bring.
    token : str, optional
        What `Authorization: Bearer ...` must carry for `/predict`, `/model` and `/metrics`.
    hosts : sequence of str
        Without a token, only requests that name one of these as their host are answered, so that no web page can ask
        through a name of its own that leads here.
    """
    limits = limits or Limits()
    bodies = Bodies(served.kind, served.width, limits, served.features, hidden=token is not None)
    metrics = Metrics()
    workers = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="unseen-prepare")
    state: dict[str, Any] = {}
    room = Room(limits.decoded)
    turns = Turns(limits.requests, waiting=limits.waiting, seconds=limits.deadline, what="requests")

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        batcher = Batcher(
            served.predict,
            rows=served.rows,
            weigh=served.weigh,
            wait=limits.wait,
            queue=limits.queue,
            waiting=limits.requests,
            deadline=limits.deadline,
            batch_seen=metrics.batch_seen,
            requests=lambda: turns.taken,
            threads=served.threads,
            begin=served.begin,
        )
        metrics.under_way.set_function(lambda: batcher.under_way)
        batcher.start()
        state["batcher"] = batcher
        before = torch.get_num_threads()
        yield
        await batcher.stop()
        torch.set_num_threads(before)  # of threads that begin later, too: `begin` is for those that predict
        workers.shutdown()

    app = FastAPI(
        title="unseen",
        version=version("unseen"),
        summary=f"{served.summary(names=False)}.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    if token is None:
        app.add_middleware(KnownHosts, hosts=frozenset(hosts))
    app.add_middleware(Measured, metrics=metrics)
    app.add_exception_handler(HTTPException, _problem)
    app.add_exception_handler(RequestValidationError, _problem)
    app.add_exception_handler(Busy, _problem)
    app.add_exception_handler(Exception, _problem)
    guarded: dict[str, Any] = {"responses": {}}
    if token is not None:
        guarded = {"dependencies": [Depends(_guard(token))], "responses": _problems(401)}

    parameters = ("top", "abstain") if served.named else ("top",)

    async def answered(request: Request, top: int) -> list[Any]:
        if unknown := [name for name in request.query_params if name not in parameters]:
            there = f"are {' and '.join(parameters)}" if len(parameters) > 1 else f"is {parameters[0]} alone"
            raise HTTPException(422, f"{unknown[0][:40]} is no parameter; there {there}")
        if twice := [name for name in parameters if len(request.query_params.getlist(name)) > 1]:
            raise HTTPException(422, f"{twice[0]} stands twice among the parameters")
        if is_foreign(request.headers, request.scope["path"]):
            raise HTTPException(ELSEWHERE.status, ELSEWHERE.detail)
        batcher: Batcher = state["batcher"]
        async with bodies.read(request) as samples, turns.turn(), batcher.admitted(len(samples)) as share:
            with room.request() as held:
                ready = await _prepared(served, workers, samples, held)
                return await batcher.submit(ready, top, request.is_disconnected, share.give_back)

    post = app.post(
        "/predict",
        summary="Predict samples",
        openapi_extra={"requestBody": bodies.schema()},
        **guarded | {"responses": guarded["responses"] | _problems(403, 408, 413, 415, 422, 503)},
    )
    if served.named:

        @post
        async def predict(
            request: Request,
            top: Annotated[int, Query(ge=1, le=MOST, description="classes to name")] = 1,
            abstain: Annotated[bool, Query(description="name no class where the model is not sure")] = False,
        ) -> Predictions:
            answers = await answered(request, top)
            metrics.unknown.inc(sum(answer.unknown for answer in answers))
            return Predictions(predictions=[_prediction(answer, top, abstain) for answer in answers])

    else:

        @post
        async def rows(
            request: Request,
            top: Annotated[int, Query(ge=1, le=MOST, description="rows of a sample, where they are ranked")] = 1,
        ) -> Answers:
            most = top if served.ranked else None
            return Answers(answers=[ranked[:most] for ranked in await answered(request, top)])

    @app.get("/health", summary="Whether the server answers", response_model=Health)
    async def health() -> Health:
        return Health(status="ok")

    @app.get("/model", summary="What is served", response_model=About, **guarded)
    async def model() -> About:
        bounds = {"bytes": limits.bytes, "pixels": limits.pixels, "characters": MAX_TEXT, "batch": limits.batch}
        return About(**served.about(), limits=bounds)

    @app.get(
        "/metrics",
        summary="Counts and times for Prometheus",
        response_class=Response,
        **guarded | {"responses": guarded["responses"] | {200: {"content": {"text/plain": {"schema": TEXT}}}}},
    )
    async def numbers() -> Response:
        return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)

    @app.get("/", include_in_schema=False)
    async def page(request: Request) -> HTMLResponse:
        host = request.headers.get("host", "")
        content, policy = front(served, host, guarded=token is not None, scheme=request.scope["scheme"])
        return HTMLResponse(content, headers={"content-security-policy": policy})

    @app.get("/example.png", include_in_schema=False)
    async def picture() -> Response:
        return Response(example(), media_type="image/png")

    if served.kind == "clip":

        @app.get("/example.mp4", include_in_schema=False)
        async def clip() -> Response:
            return Response(example_clip(), media_type="video/mp4")

    if isinstance(served, ServedRows) and served.example is not None:
        csv = served.example

        @app.get("/example.csv", include_in_schema=False, **guarded)  # it names the columns of the model
        async def table() -> Response:
            return Response(csv, media_type="text/csv")

    if served.kind == "audio":

        @app.get("/example.wav", include_in_schema=False)
        async def sound() -> Response:
            return Response(example_sound(), media_type="audio/wav")

    @app.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> HTMLResponse:
        url = address(request.headers.get("host", ""), request.scope["scheme"])
        page, policy = manual(app.openapi(), curl=lines(served, url, guarded=token is not None)[0], field=FIELD)
        return HTMLResponse(page, headers={"content-security-policy": policy})

    return app


class KnownHosts:
    """Answers requests alone that name one of some hosts."""

    def __init__(self, app: ASGIApp, hosts: Set[str]) -> None:
        self.app, self.hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http" and host_name(Headers(scope=scope).get("host", "")) not in self.hosts:
            refused = JSONResponse({"detail": "the host of the request is no name of this machine"}, 400)
            await refused(scope, receive, send)
            return
        await self.app(scope, receive, send)


async def _prepared(
    served: Served | ServedRows, workers: ThreadPoolExecutor, samples: Sequence[Any], held: Held
) -> list[Any]:
    """The samples as the network takes them, prepared in threads; 422 names the first that cannot be."""
    loop = asyncio.get_running_loop()
    tasks = [loop.run_in_executor(workers, held.prepared, served.prepare, sample) for sample in samples]
    done = await asyncio.gather(*tasks, return_exceptions=True)
    for i, result in enumerate(done):
        if isinstance(result, ValueError):
            raise HTTPException(422, f"sample {i} {result}")
        if isinstance(result, BaseException):
            raise result
    return done


def _prediction(answer: Answer, top: int, abstain: bool) -> Prediction:
    return Prediction(
        name=None if abstain and answer.unknown else answer.name,
        probability=answer.probability,
        unknown=answer.unknown,
        top=[Ranked(name=name, probability=p) for name, p in answer.top[:top]],
    )


def _guard(token: str) -> Any:
    """A dependency that answers 401 unless the request carries the token."""

    async def guard(
        request: Request, _: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)] = None
    ) -> None:
        if not allowed(request.headers.get("authorization"), token):
            raise HTTPException(401, "the token is missing or wrong", {"WWW-Authenticate": "Bearer"})

    return guard


def _problems(*codes: int) -> dict[int, Any]:
    reasons = {
        401: "The token is missing or wrong",
        403: "Another web page asks",
        408: "The body came too slowly",
        413: "The body is too long",
        415: "The body is of another type",
        422: "The body does not hold samples",
        503: "Too much is under way; try again",
    }
    return {code: {"model": Problem, "description": reasons[code]} for code in codes}


async def _problem(_: Request, error: Exception) -> JSONResponse:
    """Every error as a JSON object with one sentence that tells nothing of the machine."""
    if isinstance(error, HTTPException):
        return JSONResponse({"detail": error.detail}, error.status_code, error.headers)
    if isinstance(error, RequestValidationError):
        return JSONResponse({"detail": sentence(error.errors()[0])}, 422)
    if isinstance(error, Busy):
        return JSONResponse({"detail": "too much is under way; try again"}, 503, {"Retry-After": "1"})
    return JSONResponse({"detail": "the server failed; its log says why"}, 500)
