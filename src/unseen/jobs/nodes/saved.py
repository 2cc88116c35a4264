"""A saved model of nodes; it reads a whole graph."""

from __future__ import annotations

from unseen.jobs import SavedModel, names_in_state

SAVED = SavedModel(
    "a model of the nodes of a graph",
    "unseen nodes GRAPH --model {folder}",
    lambda place: names_in_state(place).get("method") == "graphclip",
)
