"""What the pages show: runs, how far one is, what it found, a form for a sample."""

from __future__ import annotations

import base64
import functools
import shlex
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import jinja2
from markupsafe import Markup
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, Response

from unseen.data.images import thumbnail
from unseen.encoders.defaults import DEFAULT_ENCODER, SHARED_ENCODER
from unseen.report import words
from unseen.report.pages import templates, with_commands
from unseen.serving.limits import MAX_TEXT, Limits
from unseen.serving.mistakes import FIELD
from unseen.serving.model import Served
from unseen.serving.pictures import open_picture
from unseen.serving.rows import ServedRows
from unseen.web import answers, fit, runs, trial
from unseen.web.desk import Desk, Job
from unseen.web.markup import joined, paragraph
from unseen.web.places import SUFFIXES, Places
from unseen.web.progress import STEPS_OF
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
     "answer, and have no part in it. Without it nothing is chosen for data of yours, and scores are of labelled "
     "examples that were held out."),
    ("support", "A few labelled samples of your data", "A handful per class is enough, in the same forms."),
)  # fmt: skip
"""What a run takes: the word of `compare`, what it is called, and what it may be."""

EXAMPLES = {"source": "photos", "target": "sketches", "support": "few"}
SEEDS = ((1, "once, which is quicker"), (3, "three times, for a spread"), (5, "five times"))
DEFAULT_SEEDS = "3"
"""As `unseen compare` repeats a method."""
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
        return shelf([self.runs_root], RUN, wanted=runs.is_compared)

    def saved(self) -> dict[str, Path]:
        """Saved models that can be chosen."""
        return shelf(self.roots, MODEL, *trial.FILES_OF_ROOMS, wanted=trial.can_be_tried)

    def compared(self, names: list[str]) -> Markup:
        """Runs side by side, or one."""
        folders = self.runs()
        names = list(dict.fromkeys(names))[:MOST_COMPARED]
        if not names:
            return paragraph("Tick runs on the first page, and compare them.", "quiet")
        read, parts = {}, []
        for name in names:
            try:
                read[name] = runs.read(pick(folders, name, "run"))
            except ValueError as error:
                parts.append(paragraph(f"{name} is left out: {error}", "notice"))
        return joined([*parts, *([tried(lambda: runs.page(read))] if read else ())])

    def model(self, name: str) -> tuple[Markup, Served | ServedRows | None]:
        """What a model is, and the model if it can be opened."""
        folders = self.saved()
        if not name:
            return paragraph("Choose a model." if folders else NO_MODEL, "quiet"), None
        served = None

        def opened() -> Markup:
            nonlocal served
            served = self.models.open(pick(folders, name, "model"))
            return trial.about(served)

        return tried(opened, folders.get(name)), served

    def answer(self, name: str, sample: bytes | str) -> Markup:
        """What a model says of a sample; nothing without one."""
        if not name or not sample:
            return Markup("")
        folders = self.saved()
        return tried(lambda: answers.told(self.models.answer(pick(folders, name, "model"), sample)), folders.get(name))


NO_MODEL = joined(["There is no saved model yet. Every run saves one: ", Markup('<a href="/">start a run</a>'), "."])


def tried(say: Callable[[], Markup], folder: Path | None = None) -> Markup:
    """What is said, or why it cannot be, without the place of a folder on this machine."""
    try:
        return say()
    except (ValueError, OSError, ImportError, RuntimeError) as error:
        message = str(error) if folder is None else str(error).replace(str(folder), folder.name)
        return paragraph(message, "notice")


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
    environment = templates(FOLDER).overlay(finalize=None)  # what somebody typed may have backticks
    environment.filters["commands"] = with_commands
    return environment


def filled(template: str, **values: Any) -> Markup:
    """A part of a page from a template, everything in it escaped."""
    return Markup(_environment().get_template(template).render(**values))  # noqa: S704 - it escapes


def page(title: str, body: Markup, here: str = "", status: int = 200) -> Response:
    """A whole page."""
    return HTMLResponse(
        filled("shell.html", policy="", title=title, body=body, here=here, pages=PAGES).encode(errors="replace"), status
    )


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
        seeds=[(str(n), label) for n, label in SEEDS],
        budgets=BUDGETS,
        typed=dict.fromkeys(TYPED, "") | {"seeds": DEFAULT_SEEDS} | dict(typed),
        rows=rows,
        running=any(row["share"] is not None for row in rows),
        compared=sum(row["done"] for row in rows),
        demo=shlex.quote(str(shown.runs_root / "digits")),
        advise=fit.ADVISE,
    )


def listed(shown: Shown, desk: Desk) -> list[dict[str, Any]]:
    """A row for each run: those under way or stopped first, then what has results, newest first."""
    folders, root = shown.runs(), desk.runs.name
    rows = []
    for job in desk.all():
        name = f"{root}/{job.name}"
        if job.state == "running":
            rows.append({"name": name, "done": False, "share": job.progress.get("share", 0.0), "status": _now(job)})
        elif name not in folders:
            rows.append({"name": name, "done": False, "share": None, "status": _ended(desk, job)})
    under_way = {row["name"] for row in rows}
    for name, folder in folders.items():
        if name not in under_way:
            rows.append({"name": name, "done": True, "share": None, "status": runs.brief(folder)})
    return rows


def _ended(desk: Desk, job: Job) -> str:
    """How a job ended that left no run, in a line."""
    if job.state == "done" and (answer := _answer(desk, job)):
        return f"What to try first: {', '.join(fit.first_names(answer))}."
    return "Stopped; it can go on." if job.state == "stopped" else f"It could not be done: {job.why}"


def _answer(desk: Desk, job: Job) -> dict[str, Any]:
    """What a job found to try first; empty where that is damaged, or of another version."""
    answer = desk.answer(job.name)
    try:
        fit.first_names(answer)
    except (KeyError, TypeError, ValueError):
        return {}
    return answer


def _now(job: Job) -> str:
    """What a run does at the moment, in a line."""
    progress = job.progress
    if not progress:
        return "Starting."
    parts = [f"{100 * progress['share']:.0f} %", STEPS_OF[job.task][progress["step"]][0].lower(), _left(progress)]
    return ", ".join(part for part in parts if part)


def _since(progress: Mapping[str, Any]) -> str:
    """How long it has taken, once that is worth a word."""
    spent = time.time() - progress.get("began", time.time())
    return f"after {_whole(spent)}" if spent >= 5 else ""


def _whole(seconds: float) -> str:
    """A duration that is no more exact than a guess."""
    return words.seconds(seconds) if seconds >= 60 else f"{max(round(seconds), 1)} s"


def _left(progress: Mapping[str, Any]) -> str:
    """How long it takes on."""
    if progress.get("left") is None:
        return ""
    left = _whole(progress["left"])
    return f"about {left} left" if progress["step"] in ("fitting", "finishing") else f"about {left} left for this step"


def run_page(shown: Shown, desk: Desk, places: Places, name: str, problem: str = "") -> Markup:
    """How far a run is, or what it found."""
    folders = shown.runs()
    job = desk.get(name.partition("/")[2]) if name.partition("/")[0] == desk.runs.name else None
    if job is None and name not in folders:
        raise HTTPException(404, f"there is no run {name!r}")
    running = job is not None and job.state == "running"
    summary, picture, folder = [], Markup(""), folders.get(name)
    if folder is not None and not running:
        try:
            results = runs.read(pick(folders, name, "run"))
            summary, picture = runs.summary(results), runs.pictures({name: results})
        except ValueError as error:
            problem = str(error)
    progress = job.progress if job is not None else {}
    done = STEPS_OF["compare" if job is None else job.task]
    order = list(done)
    current = order.index(progress["step"]) if progress else 0
    steps = [
        {
            "name": done[step][0],
            "state": "past" if i < current else "now" if i == current else "",
            "detail": progress.get("detail", "") if i == current else "",
        }
        for i, step in enumerate(order)
    ]
    again = {} if job is None else {k: places.shown(str(v)) if k in EXAMPLES else v for k, v in job.inputs.items()}
    return filled(
        "run.html",
        name=name,
        job=job,
        problem=problem,
        percent=round(100 * progress.get("share", 0.0)),
        timing=", ".join(filter(None, [_since(progress), _left(progress)])) if progress else "starting",
        steps=steps,
        summary=summary,
        picture=picture,
        report=folder is not None and (folder / "report.html").is_file(),
        model=_model_of(shown, folder) if summary else "",
        again=urlencode(again),
        fields=again,
        advice=_advice(desk, job),
    )


def _advice(desk: Desk, job: Job | None) -> Markup:
    """What a job says to try first; nothing of one that did not look for that, or not yet."""
    if job is None or job.task != "recommend" or job.state != "done":
        return Markup("")
    answer = _answer(desk, job)
    return fit.advised(answer) if answer else paragraph("The answer is not there any more: remove it, and ask again.")


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
        inputs["classes"] = places.path(names, "Names of the classes") if looks_like_file else _names(names)
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
    seeds = form.get("seeds") or DEFAULT_SEEDS
    if seeds not in {str(n) for n, _ in SEEDS}:
        raise ValueError(f"Repeat every method: must be one of the list; got {seeds!r}")
    return inputs | {"seeds": int(seeds)}


def asked(form: Fields, places: Places) -> dict[str, Any]:
    """What a form says, as `recommend` takes it: of what `given` is that alone which is about the data."""
    inputs = given(form, places)
    return {word: inputs[word] for word in ("source", "target", "support", "classes", "encoder") if word in inputs}


def _names(text: str) -> str:
    """Names of classes with commas between them, of which there are at least two."""
    from unseen.data.class_file import class_space

    if len([name for name in text.split(",") if name.strip()]) < 2:
        wanted = "at least two, with commas between (cat, dog), or a .csv, .json or .txt file of them"
        raise ValueError(f"Names of the classes: {wanted}; got {text[:100]!r} alone")
    try:
        class_space(text)
    except ValueError as error:
        raise ValueError(f"Names of the classes: {error}") from error
    return text


def _encoder(name: str) -> str:
    """The name of an encoder that is no file of this machine, which could hold anything."""
    from unseen.encoders.registry import LOCAL_FILES, describe

    if name.partition(":")[0] in LOCAL_FILES or Path(name).exists():
        raise ValueError(f"Encoder: files are not loaded here; name one of `unseen encoders`, got {name!r}")
    try:
        describe(name)
    except ValueError as error:
        raise ValueError(f"Encoder: {error}") from error
    return name


def try_page(shown: Shown, name: str, answer: Markup) -> Markup:
    """A form for a sample of a model, and its answer."""
    about, served = shown.model(name)
    return filled(
        "try.html",
        models=list(shown.saved()),
        name=name,
        about=about,
        kind="" if served is None else served.kind,
        width=0 if served is None else served.width,
        features=() if served is None else served.features,
        longest=MAX_TEXT,
        field=FIELD,
        answer=answer,
    )
