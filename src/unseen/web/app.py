"""What is at which address, and what starts, stops and asks."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from anyio import to_thread
from markupsafe import Markup
from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from unseen.report.pages import CONTROLS, HERE, stylesheet
from unseen.serving import manual
from unseen.serving.limits import MAX_TEXT
from unseen.serving.mistakes import FIELD
from unseen.web import evidence, fit
from unseen.web.desk import Desk, Task
from unseen.web.guard import REPORT
from unseen.web.markup import joined, paragraph
from unseen.web.pages import FOLDER, Shown, asked, given, home, page, run_page, tried, try_page
from unseen.web.places import Places
from unseen.web.shelf import pick


def create_app(shown: Shown, desk: Desk, places: Places) -> Starlette:
    """The app, to be put behind `unseen.web.guard.Guard`; parameters are those of `unseen.web.server.serve`."""

    async def first(request: Request) -> Response:
        typed = {key: value[:1000] for key, value in request.query_params.items()}
        return page("Runs", await to_thread.run_sync(lambda: home(shown, desk, places, typed)), "/")

    def starts(task: Task) -> Callable[[Request], Any]:
        async def start(request: Request) -> Response:
            form = await _form(request)

            def begin() -> Response:
                try:
                    if task == "compare":
                        name = desk.start(form.get("name", ""), given(form, places))
                    else:  # the name in the form is that of a run
                        name = desk.start("", asked(form, places), task)
                except (ValueError, ImportError) as error:
                    return page("Runs", home(shown, desk, places, form, str(error)), "/", 422)
                return _to_run(desk, name)

            return await to_thread.run_sync(begin)

        return start

    async def run(request: Request) -> Response:
        name = request.query_params.get("name", "")
        return page(name, await to_thread.run_sync(lambda: run_page(shown, desk, places, name)), "/")

    def act(do: Callable[[str], None], gone: bool = False) -> Callable[[Request], Any]:
        async def acted(request: Request) -> Response:
            name = (await _form(request)).get("name", "")

            def done() -> Response:
                try:
                    do(name)
                except ValueError as error:
                    body = run_page(shown, desk, places, f"{desk.runs.name}/{name}", str(error))
                    return page(name, body, "/", 409)
                return RedirectResponse("/", 303) if gone else _to_run(desk, name)

            return await to_thread.run_sync(done)

        return acted

    async def report(request: Request) -> Response:
        def read() -> bytes:
            folder = pick(shown.runs(), request.query_params.get("run", ""), "run")
            return (folder / "report.html").read_bytes()

        try:
            return HTMLResponse(await to_thread.run_sync(read), headers={"content-security-policy": REPORT})
        except (ValueError, OSError) as error:
            raise HTTPException(404, "there is no report of that run") from error

    async def compare(request: Request) -> Response:
        names = request.query_params.getlist("run")
        body = await to_thread.run_sync(lambda: shown.compared(names))
        title = "Candidates" if len(names) == 1 else "Side by side"
        return page(title, joined([Markup("<h1>{}</h1>").format(title), _told(body)]), "/")

    async def methods(request: Request) -> Response:
        query = request.query_params
        body = await to_thread.run_sync(
            lambda: fit.whole(
                query.getlist("have"), query.get("kind", "image"), new="new" in query, tower="tower" in query
            )
        )
        return page("Which method?", body, "/methods")

    async def proof(request: Request) -> Response:
        slug = request.query_params.get("system", "")
        body = await to_thread.run_sync(
            lambda: tried(lambda: evidence.page(slug, shown.evidence) if slug else evidence.overview())
        )
        return page(slug or "Evidence", _told(body), "/evidence")

    async def ask(request: Request) -> Response:
        name = request.query_params.get("model", "")
        answer = Markup("")
        if request.method == "POST":
            async with request.form(max_files=1, max_fields=2, max_part_size=4 * MAX_TEXT) as form:
                sample = form.get(FIELD, "")
                content: bytes | str = await sample.read() if isinstance(sample, UploadFile) else sample
            answer = await to_thread.run_sync(lambda: shown.answer(name, content))
        return page("Try a model", await to_thread.run_sync(lambda: try_page(shown, name, answer)), "/try")

    async def upload(request: Request) -> Response:
        length = request.headers.get("content-length", "0")
        try:
            place = await places.receive(request.query_params.get("name", ""), request.stream(), int(length))
        except ValueError as error:
            return JSONResponse({"detail": str(error)}, 422)
        return JSONResponse({"place": place})

    def file(make: Callable[[], str], kind: str) -> Callable[[Request], Any]:
        async def told(_: Request) -> Response:
            return PlainTextResponse(make(), media_type=kind, headers={"cache-control": "no-cache"})

        return told

    return Starlette(
        routes=[
            Route("/", first),
            Route("/runs", first),  # of a form that was refused, whose list of runs goes on
            Route("/advice", first),
            Route("/runs", starts("compare"), methods=["POST"]),
            Route("/advice", starts("recommend"), methods=["POST"]),
            Route("/run", run),
            Route("/run/stop", act(desk.stop), methods=["POST"]),
            Route("/run/go-on", act(desk.go_on), methods=["POST"]),
            Route("/run/forget", act(desk.forget, gone=True), methods=["POST"]),
            Route("/report", report),
            Route("/compare", compare),
            Route("/try", ask, methods=["GET", "POST"]),
            Route("/methods", methods),
            Route("/evidence", proof),
            Route("/upload", upload, methods=["POST"]),
            Route("/style.css", file(_styles, "text/css")),
            Route("/app.js", file(_script, "text/javascript")),
        ],
        exception_handlers={HTTPException: _problem, Exception: _failed},
    )


def _told(body: Markup) -> Markup:
    return Markup('<div class="told">{}</div>').format(body)


def _to_run(desk: Desk, name: str) -> Response:
    return RedirectResponse(f"/run?{urlencode({'name': f'{desk.runs.name}/{name}'})}", 303)


async def _form(request: Request) -> dict[str, str]:
    async with request.form(max_files=0, max_fields=20) as form:
        return {key: value for key, value in form.items() if isinstance(value, str)}


async def _problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    body = joined(
        [Markup("<h1>Not here</h1>"), paragraph(str(error.detail)), paragraph(Markup('<a href="/">Runs</a>'))]
    )
    return page("Not here", body, status=error.status_code)


async def _failed(_: Request, error: Exception) -> Response:
    return page(
        "It failed", joined([Markup("<h1>It failed</h1>"), paragraph("The log of the app says why.")]), status=500
    )


@functools.cache
def _styles() -> str:
    return stylesheet(HERE / "style.css", CONTROLS, FOLDER / "style.css")


@functools.cache
def _script() -> str:
    return "".join(file.read_text(encoding="utf-8") for file in (manual.FOLDER / "drop.js", FOLDER / "app.js"))
