"""The method of `unseen nodes`: made anew by its slug, or as an earlier run saved it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unseen import methods as registry
from unseen.files import loads
from unseen.methods.listing import of_kind
from unseen.methods.subgraph_encoders import SubgraphEncoder
from unseen.nn.state import load_state


def subgraph_encoders() -> tuple[str, ...]:
    """All methods that know nodes by sentences, by slug, those of other packages, too."""
    return of_kind(SubgraphEncoder, "pairs")


def _kind(slug: Any) -> type[SubgraphEncoder] | None:
    kind = registry.get(slug) if slug in registry.slugs() else None
    return kind if kind is not None and issubclass(kind, SubgraphEncoder) else None


def made(slug: str, preset: str, settings: Mapping[str, Any], seed: int) -> SubgraphEncoder:
    """The method with nothing learnt yet; `ValueError` for one that encodes no subgraphs."""
    kind = _kind(slug)
    if kind is None:
        raise ValueError(f"method must be one of {', '.join(subgraph_encoders())}; got {slug!r}")
    presets: Mapping[str, Mapping[str, Any]] = {"default": {}, **kind.card.presets}
    if preset not in presets:
        raise ValueError(f"preset must be one of {', '.join(presets)}; got {preset!r}")
    return kind(**{**presets[preset], "random_state": seed, **settings})


@loads("a saved method")
def loaded(folder: Path) -> SubgraphEncoder:
    """The method that an earlier run wrote to a folder, or to `model` inside it."""
    saved = load_state(folder / "model" if (folder / "model").is_dir() else folder)
    slug = saved.get("method") if isinstance(saved, dict) else None
    kind = _kind(slug)
    if kind is None:
        raise ValueError(f"this is a saved {slug!r}, which encodes no subgraphs")
    return kind._from_state(saved)
