"""How the contract speaks: what must hold, what must be refused."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


class ContractError(AssertionError):
    """A method does not keep the contract; the message says what was expected."""


def need(held: object, message: str) -> None:
    """Raise `ContractError` unless it holds (an assert would vanish under ``python -O``)."""
    if not held:
        raise ContractError(message)


@contextlib.contextmanager
def refused(what: str, *names: str, by: tuple[type[Exception], ...] = (ValueError, TypeError)) -> Iterator[None]:
    """The block must raise one of `by`, and the message must name one of `names`."""
    kinds = " or ".join(kind.__name__ for kind in by)
    try:
        yield
    except by as error:
        need(
            not names or any(name in str(error) for name in names), f"{what}: the error must name it; it says: {error}"
        )
    else:
        raise ContractError(f"{what} must be a {kinds}; nothing was raised")
