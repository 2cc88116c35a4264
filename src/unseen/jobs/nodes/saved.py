"""A saved model of nodes; it reads a whole graph."""

from __future__ import annotations

from unseen.jobs import SavedModel

SAVED = SavedModel(
    "a model of the nodes of a graph",
    "unseen nodes GRAPH --model {folder}",
    holds=lambda names: names.get("method") == "graphclip",
)
