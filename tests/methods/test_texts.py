"""Methods that read texts: what `fit` and the verbs get, and what is refused."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pytest
from numpy.typing import NDArray

from unseen.data.domain import Domain, Lazy
from unseen.methods.base import Card, Method
from unseen.testing import check_method


class Initials(Method):
    """The class whose texts often end with the same letter."""

    card = Card(slug="initials", title="Initials", venue="", summary="Compare last letters.", modalities={"text"})

    def fit(self, *, source: Domain) -> Self:
        """Remember which class each last letter belongs to."""
        n = int(source.labels.max()) + 1
        self.counts_ = np.zeros((n, 128))
        for text, label in zip(source.x, source.labels):
            self.counts_[label, ord(text[-1]) % 128] += 1
        return self

    def predict(self, x: NDArray[Any]) -> NDArray[np.int64]:
        """The class that has seen the last letter most often."""
        self.got = x
        return np.array([self.counts_[:, ord(text[-1:] or " ") % 128].argmax() for text in x])


TEXTS = Domain(x=["red owl", "big owl", "old cat", "a cat"], y=np.array([0, 0, 1, 1]), kind="text")


def test_a_method_of_texts_keeps_the_contract() -> None:
    check_method(Initials)


@pytest.mark.parametrize(
    "x",
    [
        ["the owl", ""],
        ("the owl", ""),
        np.array(["the owl", ""]),
        np.array(["the owl", ""], dtype=object),
        Domain(x=["the owl", ""], kind="text"),
        Lazy(range(2), ["the owl", ""].__getitem__),
    ],
)
def test_texts_come_as_an_array_of_strings_whatever_held_them(x: Any) -> None:
    method = Initials().fit(source=TEXTS)
    assert method.predict(x)[0] == 0
    assert [*map(type, method.got)] == [str, str]
    assert method.got.tolist() == ["the owl", ""]


@pytest.mark.parametrize("x", ["the owl", None, 3, np.zeros(2), np.zeros((2, 3)), ["a", 1], [["a"]], np.array("a")])
def test_what_holds_no_texts_is_refused(x: Any) -> None:
    with pytest.raises(TypeError, match="x must be an array or list of strings"):
        Initials().fit(source=TEXTS).predict(x)


def test_no_text_at_all_and_numbers_called_text_are_refused() -> None:
    with pytest.raises(ValueError, match="x must hold at least one text"):
        Initials().fit(source=TEXTS).predict([])
    with pytest.raises(TypeError, match="x must hold texts for kind='text'; sample '000000' is of float"):
        Initials().fit(source=TEXTS.replace(x=np.zeros(4)))
