"""A collection of image-text pairs in the browser and over HTTP: search, filter, look, export."""

from __future__ import annotations

from typing import Any

__all__ = ["ExplorerClient", "create_app", "serve"]


def __getattr__(name: str) -> Any:
    if name == "ExplorerClient":
        from unseen.explorer.client import ExplorerClient

        return ExplorerClient
    if name == "create_app":
        from unseen.explorer.app import create_app

        return create_app
    if name == "serve":
        from unseen.explorer.server import serve

        return serve
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
