"""The four tabs: what is shown where, and what answers to what."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
from fastapi import FastAPI
from gradio import processing_utils
from markupsafe import Markup

from unseen.data.images import thumbnail
from unseen.serving.limits import MAX_TEXT, Limits
from unseen.serving.pictures import open_picture
from unseen.web import evidence, fit, runs, trial
from unseen.web.markup import code, joined, paragraph
from unseen.web.shelf import MODEL, RUN, pick, shelf

SANS = ("system-ui", "-apple-system", "Segoe UI", "Noto Sans", "Arial", "sans-serif")
MONO = ("ui-monospace", "DejaVu Sans Mono", "Menlo", "Consolas", "monospace")

PICTURES = (".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".avif", ".heic", ".heif")
"""Endings of the files that a browser offers; what is in them decides."""

WAITING = 64
"""Questions that wait for an answer; more are refused."""

PREVIEW = 320
"""Pixels of the longer side of the picture that is shown beside its answer."""

HEAD = Markup(
    "<h1>unseen</h1><p class='quiet'>Which methods fit, what their evidence says, two runs side by side, a model tried "
    "on a sample. All of it stays on the machine that shows it.</p>"
)
NO_RUN = joined(
    ["There is no run below the folder of runs yet. Make one: ", code("unseen demo --data digits --out runs/digits")]
)
NO_MODEL = joined(
    [
        "There is no saved model below the folders of runs and models yet. Every run saves one: ",
        code("unseen demo --data digits --out runs/digits"),
    ]
)


class Shown:
    """What the tabs show, from what was chosen in them.

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

    def fitting(self, words: list[str], kind: str, new_classes: bool, tower: bool) -> tuple[str, str]:
        """The command, and what fits."""
        told = _tried(lambda: fit.page(words, kind, new_classes=new_classes, tower=tower))
        return fit.command(words, kind, tower=tower), told

    def system(self, slug: str) -> str:
        """Card and ledger of a system."""
        return _tried(lambda: evidence.page(slug, self.evidence))

    def compared(self, first: str | None, second: str | None) -> str:
        """Two runs, or one if the second is the first or none."""
        found = self.runs()
        if not found:
            return str(paragraph(NO_RUN, "notice"))
        names = [name for name in dict.fromkeys((first, second)) if name]
        if not names:
            return str(paragraph("Choose a run, and another to compare it with.", "quiet"))
        return _tried(lambda: runs.page({name: runs.read(pick(found, name, "run")) for name in names}))

    def model(self, name: str | None) -> tuple[str, str]:
        """What a model is, and the kind of samples that it reads ("" if none is open)."""
        found = self.saved()
        if not found:
            return str(paragraph(NO_MODEL, "notice")), ""
        if not name:
            return str(paragraph("Choose a model.", "quiet")), ""
        kind = ""

        def opened() -> Markup:
            nonlocal kind
            served = self.models.open(pick(found, name, "model"))
            kind = served.kind
            return trial.about(served)

        return _tried(opened, found.get(name)), kind

    def answer(self, name: str | None, sample: bytes | str | None) -> str:
        """The classes of a sample; nothing without one."""
        if not name or not sample:
            return ""
        found = self.saved()

        def answered() -> Markup:
            told = trial.page(self.models.answer(pick(found, name, "model"), sample))
            return joined([_preview(sample, self.limits), told]) if isinstance(sample, bytes) else told

        return _tried(answered, found.get(name))


def _tried(say: Callable[[], Markup], folder: Path | None = None) -> str:
    """What is said, or why it cannot be, without the place of a folder on this machine."""
    try:
        return str(say())
    except (ValueError, OSError, ImportError, RuntimeError) as error:
        told = str(error) if folder is None else str(error).replace(str(folder), folder.name)
        return str(paragraph(told, "notice"))


def _preview(content: bytes, limits: Limits) -> Markup:
    small = base64.b64encode(thumbnail(open_picture(content, limits.pixels), PREVIEW)).decode()
    return Markup(
        '<img class="preview" alt="The picture as the model reads it." src="data:image/jpeg;base64,{}">'
    ).format(small)


# -- the page ----------------------------------------------------------------------------------------------


def build(
    *, runs: Path, models: Path, evidence: Path | None = None, limits: Limits | None = None, trust: bool = False
) -> gr.Blocks:
    """The app, not yet on an address; parameters are those of `unseen.web.server.serve`."""
    shown = Shown(runs=runs, models=models, evidence=evidence, limits=limits or Limits(), trust=trust)
    with gr.Blocks(title="unseen", analytics_enabled=False, delete_cache=(600, 600)) as app:
        _text(HEAD)
        with gr.Tab("What do you have?"):
            _fit_tab(shown)
        with gr.Tab("Evidence"):
            _evidence_tab(shown)
        with gr.Tab("Compare two runs"):
            _runs_tab(shown, app)
        with gr.Tab("Try a model"):
            _trial_tab(shown, app)
    return app.queue(max_size=WAITING, api_open=False)


def mounted(app: gr.Blocks, limits: Limits) -> FastAPI:
    """The app as an ASGI application, without fonts, scripts, links or counts from elsewhere."""
    api = gr.mount_gradio_app(
        FastAPI(docs_url=None, redoc_url=None, openapi_url=None),
        app,
        path="/",
        footer_links=[],
        show_error=False,
        max_file_size=limits.bytes,
        allowed_paths=[],
        ssr_mode=False,
        enable_monitoring=False,
        mcp_server=False,
        theme=gr.themes.Default(primary_hue="teal", font=list(SANS), font_mono=list(MONO)),
        css_paths=[Path(__file__).with_name("style.css")],
    )
    app.has_launched = True  # until then gradio reads any file that a request names, not only what was uploaded
    processing_utils.async_ssrf_protected_download = _not_fetched
    return api


async def _not_fetched(url: str, cache_dir: str) -> str:
    """Stands where gradio fetches an address that a request names instead of a file."""
    raise ValueError("a sample must be uploaded; addresses are not fetched")


def _text(value: Any = "", name: str | None = None) -> gr.HTML:
    """A place for what `unseen.web.markup` makes; it runs no script."""
    return gr.HTML(str(value), elem_classes=["told"], elem_id=name, js_on_load=None, apply_default_css=False)


def _again() -> gr.Button:
    """Beside a list: reads the folder again."""
    return gr.Button("Look again", size="sm", scale=0, min_width=110)


def _on(listener: Callable[..., Any], do: Callable[..., Any], inputs: Any, outputs: Any) -> None:
    """Call `do` on an event of the page, and of nobody else; what was chosen last is what is shown."""
    listener(do, inputs, outputs, api_visibility="private", show_progress="minimal", trigger_mode="always_last")


def _fit_tab(shown: Shown) -> None:
    with gr.Row():
        words = gr.CheckboxGroup(
            [(fit.sentence(word), word) for word in fit.WORDS], label="What do you have?", elem_id="words", scale=3
        )
        with gr.Column(scale=2):
            kind = gr.Radio([(told, kind) for kind, told in fit.KINDS.items()], value="image", label="Samples are")
            new = gr.Checkbox(label="Some of the described classes have no labelled sample")
            tower = gr.Checkbox(label=f"Pictures or texts: use {fit.TOWER}, an encoder that reads class names too")
    line = gr.Textbox(
        label="The command that compares what fits (put your own paths in)",
        interactive=False,
        buttons=["copy"],
        elem_id="command",
    )
    page = _text(fit.page([]), "fit")
    for part in (words, kind, new, tower):
        _on(part.change, shown.fitting, [words, kind, new, tower], [line, page])


def _evidence_tab(shown: Shown) -> None:
    slugs = evidence.systems()
    slug = gr.Dropdown(slugs, value=slugs[0], label="System", elem_id="system")
    page = _text(shown.system(slugs[0]), "ledger")
    _on(slug.change, shown.system, slug, page)


def _runs_tab(shown: Shown, app: gr.Blocks) -> None:
    with gr.Row():
        first = gr.Dropdown([], value=None, label="First run", elem_id="first")
        second = gr.Dropdown([], value=None, label="Second run", elem_id="second")
        again = _again()
    page = _text(name="runs")

    def look() -> tuple[Any, Any, str]:
        names = list(shown.runs())
        chosen = (names[0] if names else None, names[1] if len(names) > 1 else None)
        boxes = [gr.Dropdown(choices=names, value=name) for name in chosen]
        return boxes[0], boxes[1], shown.compared(*chosen)

    for listener in (app.load, again.click):
        _on(listener, look, None, [first, second, page])
    for box in (first, second):
        _on(box.input, shown.compared, [first, second], page)


def _trial_tab(shown: Shown, app: gr.Blocks) -> None:
    with gr.Row():
        name = gr.Dropdown([], value=None, label="Model", elem_id="model")
        again = _again()
    about = _text(name="about")
    picture = gr.File(
        label="A picture",
        type="binary",
        file_types=list(PICTURES),
        visible=False,
        elem_id="picture",
    )
    text = gr.Textbox(visible=False, max_length=MAX_TEXT, lines=3, elem_id="sample")
    ask = gr.Button("Ask the model", variant="primary", visible=False)
    page = _text(name="answer")

    def look() -> tuple[Any, str]:
        return gr.Dropdown(choices=list(shown.saved()), value=None), shown.model(None)[0]

    def choose(chosen: str | None) -> tuple[Any, ...]:
        told, kind = shown.model(chosen)
        label = "A text" if kind == "text" else "A vector: numbers with commas or spaces between"
        typed = kind in ("text", "features")
        return (
            told,
            gr.File(visible=kind == "image", value=None),
            gr.Textbox(visible=typed, label=label, value=""),
            gr.Button(visible=typed),
            "",
        )

    outputs = [about, picture, text, ask, page]
    for listener in (app.load, again.click):
        _on(listener, look, None, [name, about])
    _on(name.change, choose, name, outputs)
    for listener in (picture.upload, picture.clear):
        _on(listener, shown.answer, [name, picture], page)
    for listener in (ask.click, text.submit):
        _on(listener, shown.answer, [name, text], page)
