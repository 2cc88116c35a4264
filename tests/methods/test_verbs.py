"""Output verbs: declared where they stand, wrapped by `Method`, in subclasses too."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pytest
import torch

from unseen import methods
from unseen.data.domain import Domain
from unseen.methods.base import Card, Method, NotFittedError
from unseen.methods.verbs import Verb, gives, verbs_of


class Echo(Method):
    """Gives back what it is asked, as it comes in."""

    card = Card(slug="echo", title="", venue="")

    def fit(self, *, target: Domain) -> Self:
        self.mean_ = target.x.mean()
        return self

    @gives("captions")
    def caption(self, x: Any) -> Any:
        return x

    @gives("captions", reads="text")
    def translate(self, x: Any) -> Any:
        return x

    @gives("scores", reads="doubles")
    def decision_function(self, x: Any) -> Any:
        return x

    def length(self, x: Any) -> int:
        return len(x)


class Loud(Echo):
    """Overrides a verb without declaring it again."""

    def caption(self, x: Any) -> Any:
        return super().caption(x) * 2


X = np.arange(6).reshape(3, 2) / 3


@pytest.mark.parametrize("verb", ["caption", "decision_function", "predict", "predict_proba"])
def test_a_verb_of_any_name_wants_a_fitted_method(verb: str) -> None:
    with pytest.raises(NotFittedError, match="this Echo has not been fitted"):
        getattr(Echo(), verb)(X)
    with pytest.raises(NotFittedError, match="this Loud"):
        getattr(Loud(), verb)(X)
    assert Echo().length(X) == 3


def test_samples_are_checked_and_read_as_declared() -> None:
    echo = Echo().fit(target=Domain(x=X))
    assert echo.caption(X).dtype == torch.float32
    assert echo.decision_function(X).dtype == torch.float64
    assert echo.translate(["a", "b"]).tolist() == ["a", "b"]
    with pytest.raises(ValueError, match=r"shape \(n, 2\)"):
        echo.caption(X[:, :1])
    with pytest.raises(TypeError, match="must be an array or list of strings"):
        echo.translate(X)
    loud = Loud().fit(target=Domain(x=X))
    torch.testing.assert_close(loud.caption(X), 2 * torch.as_tensor(X, dtype=torch.float32))


def test_the_verbs_of_a_class_are_those_of_its_bases_too() -> None:
    verbs = verbs_of(Loud)
    assert verbs["caption"] == Verb("captions", "card")
    assert verbs["predict"].gives == "classes"
    assert not {"fit", "length", "get_params"} & set(verbs)
    assert verbs_of(methods.get("parzc"))["predict"] == Verb("values", "doubles")
