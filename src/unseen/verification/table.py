"""The questions as a table with an empty column `answer`, for those who prefer a spreadsheet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from unseen.data.domain import Domain
from unseen.runtime import replacing
from unseen.spreadsheets import harmless_table
from unseen.verification.sample import Question

NONE = "none"
"""What stands in the column `answer` for none of these."""


def write_table(file: Path, questions: Sequence[Question], target: Domain) -> None:
    """Write a CSV, all or nothing: id, content (digest), its text or its features, choices, and an empty `answer`."""
    import pandas as pd

    fixed = {"id", "content", "choices", "answer"}
    places = [question.position for question in questions]
    features = {name: target.x[places, i] for i, name in enumerate(target.feature_names) if name not in fixed}
    table = pd.DataFrame(
        {
            "id": [question.id for question in questions],
            "content": [question.digest for question in questions],
            **({"text": [str(target.x[place]) for place in places]} if target.kind == "text" else features),
            "choices": [" | ".join(question.choices) for question in questions],
            "answer": "",
        }
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as temporary:
        harmless_table(table).to_csv(temporary, index=False)
