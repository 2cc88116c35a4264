"""Search spaces of small networks: an architecture is a frozen dataclass with a text, and each can be built."""

from unseen.nn.search_spaces.base import SearchSpace
from unseen.nn.search_spaces.cells import Cell, Cells
from unseen.nn.search_spaces.vits import Vit, Vits

SPACES: dict[str, SearchSpace] = {"cells": Cells(), "vits": Vits()}
"""The spaces by name."""

__all__ = ["SPACES", "Cell", "Cells", "SearchSpace", "Vit", "Vits", "get"]


def get(name: str) -> SearchSpace:
    """The space called `name`; `ValueError` names the ones that there are."""
    if name not in SPACES:
        raise ValueError(f"no search space is called {name!r}; there are {', '.join(SPACES)}")
    return SPACES[name]
