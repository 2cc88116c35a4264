"""`unseen new`: a package of your own with a method, its test, its claim and its card, which pass as they are."""

from __future__ import annotations

import keyword
import os
import re
import shutil
import string
import tempfile
from importlib import resources
from pathlib import Path

from unseen import methods

PLACES = {
    "pyproject.toml": "pyproject.toml",
    "README.md": "README.md",
    "init.py": "{module}/__init__.py",
    "method.py": "{module}/method.py",
    "claim.py": "{module}/claim.py",
    "test.py": "tests/test_{module}.py",
}
"""Where each template goes."""


def new_method(slug: str, out: str | os.PathLike[str] | None = None) -> Path:
    """Write a package around a method called `slug` that is to be filled in.

    Parameters
    ----------
    slug : str
        Lower-case words joined by hyphens, such as ``my-method``; not the name of a method that is there.
    out : path, optional
        A folder that does not exist yet; ``./<slug>`` if absent.

    Returns
    -------
    Path
        The folder. ``pip install -e`` it, then `unseen methods`, `compare` and `reproduce` know the method.

    Raises
    ------
    ValueError
        If the name is not of this form or is taken, or the folder exists.
    """
    module = slug.replace("-", "_")
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", slug) or keyword.iskeyword(module):
        raise ValueError(f"slug must be lower-case words joined by hyphens, such as my-method; got {slug!r}")
    if slug in methods.slugs():
        raise ValueError(f"slug: a method is called {slug!r} already; `unseen methods {slug}` shows it")
    folder = Path(slug if out is None else out)
    if folder.exists():
        raise ValueError(f"out: {folder} exists; choose another folder")
    name = "".join(part.capitalize() for part in slug.split("-"))
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        for template, place in PLACES.items():
            text = resources.files(__name__).joinpath("templates", f"{template}.txt").read_text(encoding="utf-8")
            file = temporary / place.format(module=module)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(string.Template(text).substitute(slug=slug, module=module, name=name), encoding="utf-8")
        temporary.chmod(0o755)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder
