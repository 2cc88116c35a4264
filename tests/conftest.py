"""What every test shares: shape checks, one thread per worker, and the slowest fits of the contract."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jaxtyping
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for `contract` and `shapes`

import shapes  # noqa: F401 - before `typing.overload` is used

jaxtyping.install_import_hook(["unseen.nn", "unseen.methods"], "shapes.check")

import torch

torch.set_num_threads(1)

CHROMIUM = Path("/usr/bin/chromium")
QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Debian's chromium, headless and without requests of its own."""
    if not CHROMIUM.exists():
        pytest.skip(f"no {CHROMIUM}; apt-get install chromium")
    sync = pytest.importorskip("playwright.sync_api", reason="no playwright; pip install playwright")
    with sync.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=list(QUIET))
        yield chromium
        chromium.close()


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Give every test the same random numbers, whatever ran before it."""
    torch.manual_seed(0)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the ten slowest fits of the contract test."""
    reports = terminalreporter.getreports("passed") + terminalreporter.getreports("failed")
    fits = [value for report in reports for key, value in report.user_properties if key == "fit"]
    if fits:
        terminalreporter.section("slowest fits, 0.5 s are meant")
        for case, seconds in sorted(fits, key=lambda fit: -fit[1])[:10]:
            terminalreporter.write_line(f"{seconds:7.3f} s  {case}")
