"""The questions as one page that works offline: a person looks, presses a key, and gets a file of answers."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unseen.data.contact_sheet import contact_sheet
from unseen.data.domain import Domain
from unseen.data.sounds import resampled, wav_bytes
from unseen.report.pages import CONTROLS, source_hash, stylesheet, templates
from unseen.runtime import replacing
from unseen.verification.sample import CHOICES, Question

PIXELS = 360
ANSWERS = "answers.json"
PLAYED, RATE = 10.0, 16_000
"""Seconds of a sound that are played, and values a second."""
_LONGEST = 5000
"""Characters of a text that are shown."""


def write_page(
    file: Path, questions: Sequence[Question], target: Domain, command: str, classes: Sequence[str] = ()
) -> None:
    """Write the page, all or nothing.

    Pictures, and frames of clips, are re-encoded thumbnails without metadata; of sounds the beginning is played. What a
    sample is called is shown only where there is nothing else to look at, as names can tell the answer. The page makes
    no request, and its content security policy allows none.

    Parameters
    ----------
    file : Path
    questions : sequence of Question
        As `ask` draws them from `target`.
    command : str
        How the answers are graded.
    classes : sequence of str
        All names that may be an answer: where they are more than stand beside a sample, the page lets one search them.
    """
    here = Path(__file__).parent
    style, script = stylesheet(CONTROLS, here / "page.css"), (here / "page.js").read_text(encoding="utf-8")
    most = max((len(question.choices) for question in questions), default=CHOICES)
    searched = list(classes) if len(classes) > most else []
    content = {
        "file": ANSWERS,
        "target": target.name,
        "questions": [_told(question, target) for question in questions],
        "classes": searched,
    }
    page = (
        templates(here)
        .get_template("page.html")
        .render(
            policy=f"default-src 'none'; img-src data:; media-src data:; style-src {source_hash(style)}; "
            f"script-src {source_hash(script)}; form-action 'none'",
            style=style,
            script=script,
            questions=json.dumps(content, ensure_ascii=False).replace("<", "\\u003c"),
            name=target.name,
            count=len(questions),
            most=most,
            searched=len(searched),
            file=ANSWERS,
            command=command,
        )
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as temporary:
        temporary.write_bytes(page.encode("utf-8", "replace"))


def _told(question: Question, target: Domain) -> dict[str, Any]:
    """What the page knows of a question; never what the model answered."""
    facts: dict[str, Any] = {
        "id": question.id, "content": question.digest, "times": question.times, "choices": list(question.choices)
    }  # fmt: skip
    sample = target.x[question.position]
    if target.kind in ("image", "clip"):
        picture = contact_sheet(sample, side=PIXELS // 3) if target.kind == "clip" else sample
        facts["picture"] = f"data:image/jpeg;base64,{base64.b64encode(_thumbnail(picture)).decode()}"
    elif target.kind == "audio":
        wave = resampled(sample.wave[: round(PLAYED * sample.rate)], sample.rate, RATE)
        facts["sound"] = f"data:audio/wav;base64,{base64.b64encode(wav_bytes(wave, RATE)).decode()}"
    elif target.kind == "text":
        facts["text"] = str(sample)[:_LONGEST]
    elif target.feature_names:
        facts["text"] = "\n".join(f"{name}: {value:g}" for name, value in zip(target.feature_names, sample))[:_LONGEST]
    return facts


def _thumbnail(sample: Any) -> bytes:
    import numpy as np
    from PIL import Image

    from unseen.data.images import thumbnail

    return thumbnail(Image.fromarray(sample) if isinstance(sample, np.ndarray) else sample, PIXELS)
