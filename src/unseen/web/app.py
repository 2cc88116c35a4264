"""The pages: what is shown at which address, and what starts, stops and asks."""

from __future__ import annotations

import base64
import functools
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import jinja2
from anyio import to_thread
from markupsafe import Markup
from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from unseen.data.images import thumbnail
from unseen.encoders.defaults import DEFAULT_ENCODER, SHARED_ENCODER
from unseen.report import words
from unseen.report.pages import CONTROLS, HERE, stylesheet
from unseen.serving import manual
from unseen.serving.limits import MAX_TEXT, Limits
from unseen.serving.pictures import open_picture
from unseen.web import evidence, fit, runs, trial
from unseen.web.desk import Desk, Job
from unseen.web.guard import REPORT
from unseen.web.markup import joined, paragraph
from unseen.web.places import SUFFIXES, Places
from unseen.web.progress import STEPS
from unseen.web.shelf import MODEL, RUN, pick, shelf

FOLDER = Path(__file__).parent

PAGES = (("/", "Runs"), ("/try", "Try a model"), ("/methods", "Methods"), ("/evidence", "Evidence"))

PREVIEW = 320
"""Pixels of the longer side of the picture that is shown beside its answer."""

MOST_COMPARED = 6
"""Runs side by side."""

FIELDS = (
    ("source", "Labelled examples", "A folder with a folder for each class (photos/cat), a .zip of one, or a CSV."),
    ("target", "Your data", "What you want sorted: a folder of pictures, a .zip, or a CSV. Labels in it check the "
     "answer, and have no part in it."),
    ("support", "A few labelled samples of your data", "A handful per class is enough, in the same forms."),
)  # fmt: skip
"""What a run takes: the word of `compare`, what it is called, and what it may be."""

EXAMPLES = {"source": "photos", "target": "sketches", "support": "few"}
SEEDS = ((1, "once"), (3, "three times, for a spread"), (5, "five times"))
BUDGETS = (("", "as long as it takes"), ("1m", "a minute"), ("10m", "ten minutes"), ("1h", "an hour"))

TYPED = ("source", "target", "support", "classes", "name", "seeds", "budget", "encoder")
"""Fields of the form that starts a run."""

Fields = Mapping[str, str]


class Shown:
    """What the pages show, from what was chosen in them.

    Parameters
    ----------
    runs, models : path
        Folders below which runs and saved models are looked for.
    evidence : path or None
        Folder of recorded evidence.
    limits : Limits
        Pixels of a picture.
    trust : bool
        Whether encoders may be loaded that can run code.
    """

    def __init__(self, *, runs: Path, models: Path, evidence: Path | None, limits: Limits, trust: bool) -> None:
        self.roots = (models, runs)
        self.runs_root = runs
        self.evidence = evidence
        self.limits = limits
        self.models = trial.Models(limits, trust=trust)

    def runs(self) -> dict[str, Path]:
        """Runs that can be chosen."""
        return shelf([self.runs_root], RUN)

    def saved(self) -> dict[str, Path]:
        """Saved models that can be chosen."""
        return shelf(self.roots, MODEL)

    def compared(self, names: list[str]) -> Markup:
        """Runs side by side, or one."""
        found = self.runs()
        names = list(dict.fromkeys(names))[:MOST_COMPARED]
        if not names:
            return paragraph("Tick runs on the first page, and compare them.", "quiet")
        return tried(lambda: runs.page({name: runs.read(pick(found, name, "run")) for name in names}))

    def model(self, name: str) -> tuple[Markup, str, int]:
        """What a model is, the kind of samples that it reads ("" if none is open), and numbers of a vector."""
        found = self.saved()
        if not name:
            return paragraph("Choose a model." if found else NO_MODEL, "quiet"), "", 0
        kind, width = "", 0

        def opened() -> Markup:
            nonlocal kind, width
            served = self.models.open(pick(found, name, "model"))
            kind, width = served.kind, served.width
            return trial.about(served)

        return tried(opened, found.get(name)), kind, width

    def answer(self, name: str, sample: bytes | str) -> Markup:
        """The classes of a sample; nothing without one."""
        if not name or not sample:
            return Markup("")
        found = self.saved()
        return tried(lambda: trial.page(self.models.answer(pick(found, name, "model"), sample)), found.get(name))


NO_MODEL = joined(["There is no saved model yet. Every run saves one: ", Markup('<a href="/">start a run</a>'), "."])


def tried(say: Callable[[], Markup], folder: Path | None = None) -> Markup:
    """What is said, or why it cannot be, without the place of a folder on this machine."""
    try:
        return say()
    except (ValueError, OSError, ImportError, RuntimeError) as error:
        told = str(error) if folder is None else str(error).replace(str(folder), folder.name)
        return paragraph(told, "notice")


def preview(content: bytes, limits: Limits) -> Markup:
    """The picture as the model reads it, small; nothing if it is none."""
    try:
        small = base64.b64encode(thumbnail(open_picture(content, limits.pixels), PREVIEW)).decode()
    except ValueError:
        return Markup("")
    return Markup(
        '<img class="preview" alt="The picture as the model reads it." src="data:image/jpeg;base64,{}">'
    ).format(small)


# -- pages -------------------------------------------------------------------------------------------------


@functools.cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def filled(template: str, **values: Any) -> Markup:
    """A part of a page from a template, everything in it escaped."""
    return Markup(_environment().get_template(template).render(**values))  # noqa: S704 - it escapes


def page(title: str, body: Markup, here: str = "", status: int = 200) -> Response:
    """A whole page."""
    return HTMLResponse(
        filled("frame.html", title=title, body=body, here=here, pages=PAGES).encode(errors="replace"), status
    )


@functools.cache
def _styles() -> str:
    return stylesheet(HERE / "style.css", CONTROLS, FOLDER / "style.css")


@functools.cache
def _script() -> str:
    return "".join(file.read_text(encoding="utf-8") for file in (manual.FOLDER / "drop.js", FOLDER / "app.js"))


def home(shown: Shown, desk: Desk, places: Places, typed: Fields, problem: str = "") -> Markup:
    """The first page: what a run takes, and the runs that there are."""
    rows = listed(shown, desk)
    return filled(
        "home.html",
        problem=problem,
        fields=FIELDS,
        examples=EXAMPLES,
        places=places.offered(),
        suffixes=",".join(SUFFIXES),
        encoders=sorted({*DEFAULT_ENCODER.values(), *SHARED_ENCODER.values()}),
        seeds=[(str(n), told) for n, told in SEEDS],
        budgets=BUDGETS,
        typed=dict.fromkeys(TYPED, "") | dict(typed),
        rows=rows,
        running=any(row["share"] is not None for row in rows),
        compared=sum(row["done"] for row in rows),
        demo=shown.runs_root / "digits",
    )


def listed(shown: Shown, desk: Desk) -> list[dict[str, Any]]:
    """A row for each run: those under way or stopped first, then what has results, newest first."""
    found, root = shown.runs(), desk.runs.name
    rows = []
    for job in desk.all():
        name = f"{root}/{job.name}"
        if job.state == "running":
            rows.append({"name": name, "done": False, "share": job.progress.get("share", 0.0), "told": _now(job)})
        elif name not in found:
            told = "Stopped; it can go on." if job.state == "stopped" else f"It could not be done: {job.why}"
            rows.append({"name": name, "done": False, "share": None, "told": told})
    under_way = {row["name"] for row in rows}
    for name, folder in found.items():
        if name not in under_way:
            rows.append({"name": name, "done": True, "share": None, "told": runs.brief(folder)})
    return rows


def _now(job: Job) -> str:
    """What a run does at the moment, in a line."""
    told = job.progress
    if not told:
        return "Starting."
    parts = [f"{100 * told['share']:.0f} %", STEPS[told["step"]][0].lower(), _left(told)]
    return ", ".join(part for part in parts if part)


def _since(told: Mapping[str, Any]) -> str:
    """How long it has taken, once that is worth a word."""
    spent = time.time() - told.get("began", time.time())
    return f"after {_whole(spent)}" if spent >= 5 else ""


def _whole(seconds: float) -> str:
    """A duration that is no more exact than a guess."""
    return words.seconds(seconds) if seconds >= 60 else f"{max(round(seconds), 1)} s"


def _left(told: Mapping[str, Any]) -> str:
    """How long it takes on."""
    if told.get("left") is None:
        return ""
    left = _whole(told["left"])
    return f"about {left} left" if told["step"] in ("fitting", "finishing") else f"about {left} left for this step"


def run_page(shown: Shown, desk: Desk, places: Places, name: str, problem: str = "") -> Markup:
    """How far a run is, or what it found."""
    found = shown.runs()
    job = desk.get(name.partition("/")[2]) if name.partition("/")[0] == desk.runs.name else None
    if job is None and name not in found:
        raise HTTPException(404, f"there is no run {name!r}")
    running = job is not None and job.state == "running"
    summary, picture, folder = [], Markup(""), found.get(name)
    if folder is not None and not running:
        try:
            results = runs.read(pick(found, name, "run"))
            summary, picture = runs.summary(results), runs.pictures({name: results})
        except ValueError as error:
            problem = str(error)
    told = job.progress if job is not None else {}
    order = list(STEPS)
    here = order.index(told["step"]) if told else 0
    steps = [
        {
            "name": STEPS[step][0],
            "state": "past" if i < here else "now" if i == here else "",
            "detail": told.get("detail", "") if i == here else "",
        }
        for i, step in enumerate(order)
    ]
    again = {} if job is None else {k: places.shown(str(v)) if k in EXAMPLES else v for k, v in job.inputs.items()}
    return filled(
        "run.html",
        name=name,
        job=job,
        problem=problem,
        percent=round(100 * told.get("share", 0.0)),
        told=", ".join(filter(None, [_since(told), _left(told)])) if told else "starting",
        steps=steps,
        summary=summary,
        picture=picture,
        report=folder is not None and (folder / "report.html").is_file(),
        model=_model_of(shown, folder) if summary else "",
        again=urlencode(again),
    )


def _model_of(shown: Shown, folder: Path | None) -> str:
    """The name under which the model of a run can be tried."""
    return next((name for name, place in shown.saved().items() if folder is not None and place == folder / "model"), "")


def given(form: Fields, places: Places) -> dict[str, Any]:
    """What a form says, as `compare` takes it.

    Raises
    ------
    ValueError
        If a place may not be read, or there is nothing to learn from.
    """
    inputs: dict[str, Any] = {}
    for word, title, _ in FIELDS:
        if form.get(word, "").strip():
            inputs[word] = places.path(form[word], title)
    if names := form.get("classes", "").strip():
        looks_like_file = "," not in names and Path(names).suffix.lower() in (".csv", ".json", ".txt")
        inputs["classes"] = places.path(names, "Names of the classes") if looks_like_file else names
    if not {"source", "support", "classes"} & set(inputs):
        raise ValueError("Name labelled examples, or the names of the classes: there is nothing else to learn from.")
    if "target" not in inputs and "source" not in inputs:
        raise ValueError("Name your data: the folder, archive or table that you want sorted.")
    if encoder := form.get("encoder", "").strip():
        inputs["encoder"] = _encoder(encoder)
    if budget := form.get("budget", ""):
        if budget not in dict(BUDGETS):
            raise ValueError(f"Time at most must be one of the list; got {budget!r}")
        inputs["budget"] = budget
    seeds = form.get("seeds") or "1"
    if seeds not in {str(n) for n, _ in SEEDS}:
        raise ValueError(f"Repeat every method: must be one of the list; got {seeds!r}")
    return inputs | {"seeds": int(seeds)}


def _encoder(name: str) -> str:
    """The name of an encoder that is no file of this machine, which could hold anything."""
    from unseen.encoders.registry import LOCAL_FILES, describe

    if name.partition(":")[0] in LOCAL_FILES or Path(name).exists():
        raise ValueError(f"Encoder: files are not loaded here; name one of `unseen encoders`, got {name!r}")
    describe(name)
    return name


def try_page(shown: Shown, name: str, answer: Markup) -> Markup:
    """A form for a sample of a model, and its answer."""
    told, kind, width = shown.model(name)
    return filled(
        "try.html",
        models=list(shown.saved()),
        name=name,
        about=told,
        kind=kind,
        width=width,
        longest=MAX_TEXT,
        answer=answer,
    )


# -- the application ---------------------------------------------------------------------------------------


def create_app(shown: Shown, desk: Desk, places: Places) -> Starlette:
    """The app, to be put behind `unseen.web.guard.Guard`; parameters are those of `unseen.web.server.serve`."""

    async def first(request: Request) -> Response:
        typed = {key: value[:1000] for key, value in request.query_params.items()}
        return page("Runs", await to_thread.run_sync(lambda: home(shown, desk, places, typed)), "/")

    async def start(request: Request) -> Response:
        form = await _form(request)

        def begin() -> Response:
            try:
                name = desk.start(form.get("name", ""), given(form, places))
            except (ValueError, ImportError) as error:
                return page("Runs", home(shown, desk, places, form, str(error)), "/", 422)
            return _to_run(desk, name)

        return await to_thread.run_sync(begin)

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
        told = await to_thread.run_sync(lambda: shown.compared(names))
        title = "Side by side" if len(names) > 1 else "Candidates"
        return page(title, joined([Markup("<h1>{}</h1>").format(title), _told(told)]), "/")

    async def methods(request: Request) -> Response:
        asked = request.query_params
        body = await to_thread.run_sync(
            lambda: fit.whole(
                asked.getlist("have"), asked.get("kind", "image"), new="new" in asked, tower="tower" in asked
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
                picture, sample = form.get("picture"), form.get("sample", "")
                content: bytes | str = await picture.read() if isinstance(picture, UploadFile) else str(sample)
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
            Route("/runs", start, methods=["POST"]),
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
