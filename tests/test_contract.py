"""Every method keeps the contract of `Method`: one set of checks for all, which `unseen.testing` gives to others."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import shutil
import subprocess
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
import torch

import shapes
from unseen.data.domain import Domain
from unseen.methods import METHODS, get
from unseen.methods.base import Card, Method
from unseen.methods.chain import chain
from unseen.testing import ContractError, cases, check_method
from unseen.testing.answers import Labels, outputs
from unseen.testing.checks import CASE_CHECKS, CLASS_CHECKS, applies, wrong_parameters_are_named_and_change_nothing
from unseen.testing.inputs import Case, class_space, domain_of

UNLIKE = ("source-only", "coral", "shot", "loki", "meta-dmoe", "ttm")
"""What `make test` puts through the contract: a rule, a shift, a network, texts, teachers, series. All others, and what
differs from the last commit, are taken along as `tests/conftest.py` says."""


def by_slug(slug: str) -> tuple[pytest.MarkDecorator, ...]:
    """The mark of what `make test` leaves to `make test-full`."""
    return () if slug in UNLIKE or slug in changed_methods() else (pytest.mark.full,)


@functools.cache
def changed_methods() -> frozenset[str]:
    """Methods whose module differs from the last commit; none outside a clone."""
    git = shutil.which("git")
    command = [git or "git", "-C", str(Path(__file__).parent), "diff", "--name-only", "HEAD", "--", "../src"]
    told = "" if git is None else subprocess.run(command, capture_output=True, text=True, check=False).stdout
    places = {slug: "src/unseen/methods/" + spot.partition(":")[0].replace(".", "/") for slug, spot in METHODS.items()}
    return frozenset(slug for slug, place in places.items() if place in told)


SLUGS = [pytest.param(slug, marks=by_slug(slug), id=slug) for slug in METHODS]
CASES = [pytest.param(case, marks=by_slug(slug), id=str(case)) for slug in METHODS for case in cases(get(slug))]


@pytest.mark.parametrize("slug", SLUGS)
def test_of_a_class(slug: str) -> None:
    assert get(slug).card.slug == slug
    for check in CLASS_CHECKS:
        refuses = check is wrong_parameters_are_named_and_change_nothing
        with shapes.unchecked() if refuses else contextlib.nullcontext():
            check(get(slug))


@pytest.mark.parametrize("case", CASES)
def test_of_a_fit(case: Case, record_property: Any) -> None:
    """All checks of one way to call a method, which share its fit."""
    failed = []
    for check in CASE_CHECKS:
        if applies(check, case):
            try:
                seconds = check(case)
            except Exception as error:  # the other checks are told, too
                failed.append(f"{check.__name__}: {type(error).__name__}: {error}")
                continue
            if seconds is not None:
                record_property("fit", (str(case), seconds))  # conftest prints the slowest
    assert not failed, "\n".join(failed)


def test_a_chain_is_deterministic_saved_and_predicts_each_sample_by_itself(tmp_path: Path) -> None:
    base = get("source-only")().fit(source=domain_of("source", "features"))
    both = chain(base, get("loki")().fit(classes=class_space()))
    x = Labels.samples(Case(get("source-only"), ("source",), "features"))
    both.save(tmp_path / "m")
    back = type(both).load(tmp_path / "m")
    expected = outputs(both, x)
    assert all(value.tobytes() == expected[key].tobytes() for key, value in outputs(back, x).items())
    assert np.concatenate([both.predict(part) for part in torch.split(x, 1)]).tolist() == expected["predict"].tolist()
    np.testing.assert_allclose(both.network()(x).detach(), expected["decision_function"], rtol=1e-4, atol=1e-5)


# -- the checks can fail -----------------------------------------------------------------------------------


class Means(Method):
    """Nearest class mean, as plain as can be."""

    card = Card(slug="means", title="Means", venue="", summary="Nearest class mean.", unseen={"domains"})

    def fit(self, *, source: Domain, target: Domain) -> Self:
        """Learn the means of the classes."""
        x, y = torch.as_tensor(source.x), torch.as_tensor(source.labels)
        n = len(source.classes) if source.classes is not None else int(y.max()) + 1
        self.means_ = torch.stack([x[y == c].mean(dim=0) if (y == c).any() else x[0] * 0 for c in range(n)])
        self.extra_ = self._extra(target)
        return self

    def _extra(self, target: Domain) -> torch.Tensor:
        return torch.zeros(1)

    def decision_function(self, x: torch.Tensor) -> torch.Tensor:
        """Minus the distance to every mean."""
        return -(x[:, None] - self.means_).square().sum(dim=2)


def test_a_plain_method_passes() -> None:
    check_method(Means)


class Leaky(Means):
    """Reads the names of the target's files, which hold its labels."""

    def _extra(self, target: Domain) -> torch.Tensor:
        return torch.tensor([float(len(str(target.ids)))])


class Destructive(Means):
    """Changes its input."""

    def _extra(self, target: Domain) -> torch.Tensor:
        target.x[0] = 0
        return torch.zeros(1)


@pytest.mark.parametrize("method", [Leaky, Destructive])
def test_what_a_method_cannot_do_at_all(method: type[Method]) -> None:
    check_method(method)  # it never gets the names of the target, nor the user's own arrays


class Restless(Means):
    """Is random where it must not be."""

    def _extra(self, target: Domain) -> torch.Tensor:
        return torch.tensor([float(np.random.default_rng().normal())])


class Talkative(Means):
    """Prints."""

    def _extra(self, target: Domain) -> torch.Tensor:
        print("fitting")
        return torch.zeros(1)


class Forgetful(Means):
    """Keeps what it learns where it is not saved."""

    def _extra(self, target: Domain) -> torch.Tensor:
        self.offset = 1.0  # no trailing underscore
        return torch.zeros(1)

    def decision_function(self, x: torch.Tensor) -> torch.Tensor:
        """Scores that need what is not saved."""
        return super().decision_function(x) + self.offset


class Crowded(Means):
    """Predicts a sample by the others of its batch."""

    def decision_function(self, x: torch.Tensor) -> torch.Tensor:
        """Scores of centred samples."""
        return super().decision_function(x - x.mean(dim=0))


class Early(Means):
    """Learns otherwise by what it says that only predictions read."""

    card = dataclasses.replace(Means.card, at_prediction={"scale"})
    scale: float = 1.0

    def _extra(self, target: Domain) -> torch.Tensor:
        return torch.tensor([self.scale])


@pytest.mark.parametrize(
    ("method", "told"),
    [
        (Early, "holds 'scale', but scale=0.5 changes what is learnt"),
        (Restless, "equal bits"),
        (Talkative, "must be silent"),
        (Forgetful, "comes back with the same bits"),
        (Crowded, "must not depend on the batch"),
    ],
)
def test_a_method_that_breaks_the_contract_is_told_how(method: type[Method], told: str) -> None:
    with pytest.raises(ContractError, match=told):
        check_method(method)


def test_what_is_no_method_is_refused() -> None:
    with pytest.raises(TypeError, match="subclass"):
        check_method(dict)  # type: ignore[arg-type]
