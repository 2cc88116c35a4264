"""A saved model of nodes; it reads a whole graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unseen import methods as registry
from unseen.jobs import SavedModel
from unseen.methods.listing import with_foreign


def holds(names: Mapping[str, Any]) -> bool:
    """Whether the method of a state encodes subgraphs; of those that learn from pairs the class must be asked."""
    slug = names.get("method") or ""
    if slug not in with_foreign("pairs"):
        return False
    from unseen.methods.subgraph_encoders import SubgraphEncoder

    return issubclass(registry.get(slug), SubgraphEncoder)


SAVED = SavedModel("a model of the nodes of a graph", "unseen nodes GRAPH --model {folder}", holds=holds)
