"""`check_method`: does a method of yours keep the contract that the methods here keep?"""

from __future__ import annotations

from typing import Any

from unseen.methods.base import Method
from unseen.testing.checks import CASE_CHECKS, CLASS_CHECKS, applies
from unseen.testing.contract import ContractError
from unseen.testing.inputs import Case, cases

__all__ = ["Case", "ContractError", "cases", "check_method"]


def check_method(method: type[Method]) -> None:
    """Put a method through every check of the contract, the leak test included, on small inputs made here.

    Parameters
    ----------
    method : subclass of Method
        `card.smoke` should hold hyperparameters that make a fit take less than half a second.

    Raises
    ------
    ContractError
        If a check failed; the message lists all that did, each with what was expected.
    TypeError
        If it is no subclass of `Method`.

    Examples
    --------
    >>> from unseen.methods import CORAL
    >>> check_method(CORAL)
    """
    if not (isinstance(method, type) and issubclass(method, Method)):
        raise TypeError(f"method must be a subclass of unseen.Method; got {method!r}")
    jobs: list[tuple[Any, Any, str]] = [(check, method, method.card.slug) for check in CLASS_CHECKS]
    jobs += [(check, case, str(case)) for case in cases(method) for check in CASE_CHECKS if applies(check, case)]
    failed = []
    for check, subject, name in jobs:
        try:
            check(subject)
        except Exception as error:  # a method that crashes in one check still goes through the others
            failed.append(f"{check.__name__.replace('_', ' ')} [{name}]\n    {type(error).__name__}: {error}")
    if failed:
        raise ContractError(
            f"{len(failed)} of {len(jobs)} checks failed:\n" + "\n".join(f"  {line}" for line in failed)
        )
