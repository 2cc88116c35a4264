"""What loaders share: how a column is found."""

from __future__ import annotations

import pytest

from unseen.data.loaders.common import find_column


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ("body", "column 'body' is not there. The columns are: id, text"),
        ("txt", "column 'txt' is not there; did you mean 'text'? The columns are: id, text"),
    ],
)
def test_a_column_that_is_not_there_is_told_in_sentences(wanted: str, told: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        find_column(["id", "text"], wanted, "column")
    assert str(caught.value) == told
