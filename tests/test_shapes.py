"""The checker of types and shapes finds what does not fit, also where calls of the same kind passed before."""

from __future__ import annotations

import textwrap
from typing import Any, Literal

import jaxtyping
import numpy as np
import pytest
import torch
from jaxtyping import Float
from torch import Tensor

import shapes


def checked(function: Any) -> Any:
    return shapes.once(function, typechecker=shapes.check)


def wrong() -> Any:
    return pytest.raises(jaxtyping.TypeCheckError)


@checked
def rows(x: Float[Tensor, "n d"], y: Float[Tensor, "n k"], keep: int | None = None) -> Float[Tensor, "n d"]:
    """Rows of `x`, as many as asked for: all of them is right."""
    return x[:keep].to(y.dtype)


def test_modules_that_are_imported_are_checked_by_it() -> None:
    from unseen.nn.top_k import top_k

    assert jaxtyping.jaxtyped is shapes.once
    with wrong():
        top_k("no tensor", torch.ones(4, 2), 2)  # type: ignore[arg-type]


def test_arguments_of_another_shape_or_type_of_numbers_are_refused_after_others_passed() -> None:
    for _ in range(3):
        assert rows(torch.ones(4, 2), torch.ones(4, 3)).shape == (4, 2)
    for x, y in (
        (torch.ones(4, 2), torch.ones(5, 3)), (torch.ones(4), torch.ones(4, 3)),
        (torch.ones(4, 2, dtype=torch.int64), torch.ones(4, 3)), (np.ones((4, 2)), torch.ones(4, 3)),
    ):  # fmt: skip
        for _ in range(2):
            with wrong():
                rows(x, y)
    assert rows(torch.ones(9, 2), y=torch.ones(9, 3)).shape == (9, 2)


def test_a_result_that_does_not_fit_is_refused_after_calls_of_the_same_kind_passed() -> None:
    calls, shape = [], [(4, 2)]

    @checked
    def made(x: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        calls.append(x)
        return torch.zeros(*shape[-1])

    made(torch.ones(4, 2))
    made(torch.ones(4, 2))
    shape.append((5, 2))
    for n in (3, 4):
        with wrong():
            made(torch.ones(4, 2))
        assert len(calls) == n  # it was not called once more for the check
    shape.pop()
    assert made(torch.ones(4, 2)).shape == (4, 2)


def test_words_numbers_classes_and_what_lists_hold_are_told_apart() -> None:
    @checked
    def said(
        word: Literal["a", "b"], one: Literal[1, 2], of: type[int], texts: list[str], table: dict[str, int]
    ) -> None:
        return None

    right: dict[str, Any] = {"word": "a", "one": 1, "of": bool, "texts": ["x"], "table": {"x": 1}}
    for _ in range(2):
        said(**right)
    for name, value in (("word", "c"), ("one", 3), ("of", str), ("texts", [1]), ("table", {"x": "1"})):
        with wrong():
            said(**(right | {name: value}))


def test_a_function_that_calls_itself_has_every_result_checked() -> None:
    @checked
    def halved(x: Float[Tensor, "n"], times: int) -> Float[Tensor, "m"]:
        return x if not times else halved(x[::2], times - 1)

    for _ in range(2):
        assert len(halved(torch.ones(8), 2)) == 2


def test_a_network_is_traced_with_sizes_that_are_symbols() -> None:
    class Net(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return rows(x, x)

    varying = ({0: torch.export.Dim.DYNAMIC},)
    program = torch.export.export(Net(), (torch.ones(4, 2),), dynamic_shapes=varying)
    assert program.module()(torch.ones(6, 2)).shape == (6, 2)


def test_nothing_is_checked_where_nothing_is_to_be() -> None:
    with shapes.unchecked():
        assert rows(torch.ones(4, 2), torch.ones(5, 3)).shape == (4, 2)


def test_names_of_annotations_are_those_of_the_module() -> None:
    module: dict[str, Any] = {"checked": checked, "__name__": "elsewhere"}
    text = """
        from __future__ import annotations
        class Own: ...
        @checked
        def of(one: Own) -> Own | None:
            return one
    """
    exec(compile(textwrap.dedent(text), "elsewhere", "exec"), module)
    module["of"](module["Own"]())
    with wrong():
        module["of"](3)
