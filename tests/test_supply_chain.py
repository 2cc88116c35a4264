"""What the project is made of: tested versions, known licences, one index at a time, a list that tools read."""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
PINNED = re.compile(r"^([A-Za-z0-9._-]+)==([^\s\\]+)", re.MULTILINE)


@pytest.fixture(scope="module")
def supply() -> Any:
    specification = importlib.util.spec_from_file_location("supply", ROOT / ".ci" / "supply.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules["supply"] = module
    specification.loader.exec_module(module)
    return module


def pinned(file: str) -> dict[str, str]:
    found = PINNED.findall((ROOT / file).read_text())
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in found}


def test_every_part_has_a_licence_that_is_known_and_allowed(supply: Any) -> None:
    assert supply.unknown() == []


@pytest.mark.parametrize("licence", ["", "Proprietary", "GPL-3.0-only", "MIT AND Proprietary", "LicenseRef-x"])
def test_a_licence_that_nobody_knows_fails(supply: Any, licence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not supply.is_allowed(licence)
    new = supply.Part("new", "1", licence, "")
    monkeypatch.setattr(supply, "parts", lambda: [new])
    assert any(line.startswith("new 1") for line in supply.unknown())
    assert supply.main(["check"]) == 1


def test_a_file_of_the_package_that_no_line_covers_fails(supply: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = tuple(part for part in supply.BUNDLED if "checkpoint" not in part.place)
    monkeypatch.setattr(supply, "BUNDLED", kept)
    assert any("checkpoint/state.safetensors: in no line" in line for line in supply.unknown())


def test_data_that_tell_no_licence_fail_unless_they_are_named(supply: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supply, "UNTOLD", ())
    assert any(line.startswith("series.weather/australia") for line in supply.unknown())


@pytest.mark.parametrize("licence", ["MIT", "MIT OR GPL-3.0-only", "Apache-2.0 AND MIT", "(MIT OR Apache-2.0)"])
def test_expressions_are_understood(supply: Any, licence: str) -> None:
    assert supply.is_allowed(licence)


def test_the_page_names_every_part_that_is_pinned(supply: Any) -> None:
    page = (ROOT / "docs" / "licences.md").read_text()
    for name in pinned("constraints.txt"):
        assert f"\n| {name} | " in page, f"run `python .ci/supply.py licences`: {name} is missing"
    for part in supply.BUNDLED:
        assert f"| `{part.place}` | {part.what} | {part.licence} |" in page
    for place, told in supply.credits().items():
        assert told.replace("|", "\\|") in page, place
    assert " ? |" not in page


def test_every_dependency_has_a_tested_version_within_its_bounds(supply: Any) -> None:
    import tomllib

    from packaging.requirements import Requirement

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    have = pinned("constraints.txt")
    extras = project["optional-dependencies"]
    for line in (*project["dependencies"], *extras["serve"], *extras["test"], *extras["curate"], *extras["taxonomies"]):
        need = Requirement(line)
        if need.name == "unseen" or need.name in supply.FREE:
            continue
        version = have[supply.canonical(need.name)]
        assert need.specifier.contains(version, prereleases=True), f"{line}: tested with {version}"


def test_ci_and_the_image_use_the_tested_versions() -> None:
    assert "-c constraints.txt" in (ROOT / "Makefile").read_text()
    assert "make install" in (ROOT / ".ci/run").read_text()
    tested, image = pinned("constraints.txt"), pinned("requirements/serve.txt") | pinned("requirements/torch-cpu.txt")
    different = {
        name: (version, tested[name]) for name, version in image.items() if tested.get(name, version) != version
    }
    assert different == {}
    assert {"fastapi", "uvicorn", "torch", "transformers", "setuptools"} <= set(image)


def test_the_image_has_what_the_package_and_its_service_need() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    image = pinned("requirements/serve.txt") | pinned("requirements/torch-cpu.txt")
    needed = [*project["dependencies"], *project["optional-dependencies"]["serve"]]
    names = [re.sub(r"[-_.]+", "-", re.split(r"[^A-Za-z0-9._-]", line)[0]).lower() for line in needed]
    assert [name for name in names if name not in image] == []


def test_a_step_of_the_image_asks_one_index_and_digests_are_required() -> None:
    text = (ROOT / "Dockerfile").read_text()
    installs = [line for line in text.splitlines() if "pip install" in line]
    assert not [line for line in installs if "--extra-index-url" in line]
    assert all("--no-deps" in line for line in installs)
    (hashed,) = [line for line in installs if "requirements/serve.txt" in line]
    assert "--require-hashes" in hashed
    blocks = re.split(r"\n(?=\S)", (ROOT / "requirements/serve.txt").read_text())
    named = [block for block in blocks if PINNED.match(block)]
    assert len(named) > 50
    assert all("--hash=sha256:" in block for block in named)


def test_the_list_is_cyclonedx_and_the_same_every_time(supply: Any, tmp_path: Path) -> None:
    for name in ("a.json", "b.json"):
        assert supply.main(["sbom", str(tmp_path / name)]) == 0
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    found = json.loads((tmp_path / "a.json").read_text())
    assert (found["bomFormat"], found["specVersion"]) == ("CycloneDX", "1.5")
    assert re.fullmatch(r"urn:uuid:[0-9a-f-]{36}", found["serialNumber"])
    refs = [part["bom-ref"] for part in found["components"]]
    assert len(refs) == len(set(refs)) > 100
    assert found["dependencies"][0]["dependsOn"] == refs
    assert {part["type"] for part in found["components"]} == {"library", "data"}
    assert all(part["licenses"] for part in found["components"])


def test_the_list_is_valid_by_the_schema_of_cyclonedx(supply: Any, tmp_path: Path) -> None:
    validation = pytest.importorskip("cyclonedx.validation.json")
    schema = importlib.import_module("cyclonedx.schema").SchemaVersion.V1_5
    assert supply.main(["sbom", str(tmp_path / "a.json")]) == 0
    told = (tmp_path / "a.json").read_text()
    assert validation.JsonStrictValidator(schema).validate_str(told) is None
    broken = told.replace('"type": "library"', '"type": "book"', 1)
    assert validation.JsonStrictValidator(schema).validate_str(broken) is not None


def test_the_lowest_versions_have_a_job() -> None:
    job = ROOT / ".ci" / "lowest"
    assert job.stat().st_mode & 0o111
    assert "--resolution lowest-direct" in job.read_text()
    assert ".ci/lowest" in (ROOT / "Makefile").read_text()
