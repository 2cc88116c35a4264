"""The questions as a table with an empty column `answer`, for those who prefer a spreadsheet."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from unseen.data.domain import Domain
from unseen.runtime import replacing
from unseen.spreadsheets import harmless_table
from unseen.verification.sample import Question

NONE = ("none", "none of these")
"""What stands in the column `answer` for none of these: the first that is no class."""
TIMES = "times_drawn"
"""The column that says how many rows of the sample an answer stands for."""


def none_word(classes: Collection[str]) -> str:
    """What stands for none of these in a table of answers: a word that is no class, whatever its case."""
    taken = {name.casefold().strip() for name in classes}
    word = next((word for word in NONE if word not in taken), f"({NONE[-1]})")
    while word in taken:
        word = f"({word})"
    return word


def none_note(classes: Collection[str]) -> str:
    """A sentence where none of these has another word in a table than it has for most models, else ""."""
    word = none_word(classes)
    if word == NONE[0]:
        return ""
    return f"{NONE[0]!r} is a class of this model: in the table of answers {word!r} stands for none of these"


def write_table(file: Path, questions: Sequence[Question], target: Domain, classes: Collection[str] = ()) -> None:
    """Write a CSV, all or nothing: id, content (digest), its text or its features, choices, and an empty `answer`.

    Parameters
    ----------
    file : Path
    questions : sequence of Question
        As `ask` draws them from `target`.
    classes : collection of str
        All classes of the model, which the word for none of these must not be; those of the questions are.
    """
    import pandas as pd

    fixed = {"id", "content", "choices", "answer", TIMES}
    word = none_word({*classes, *(name for question in questions for name in question.choices)})
    places = [question.position for question in questions]
    features = {name: target.x[places, i] for i, name in enumerate(target.feature_names) if name not in fixed}
    table = pd.DataFrame(
        {
            "id": [question.id for question in questions],
            "content": [question.digest for question in questions],
            **({"text": [str(target.x[place]) for place in places]} if target.kind == "text" else features),
            TIMES: [question.times for question in questions],
            "choices": [" | ".join((*question.choices, word)) for question in questions],
            "answer": "",
        }
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as temporary:
        harmless_table(table).to_csv(temporary, index=False)
