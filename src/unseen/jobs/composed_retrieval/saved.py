"""A saved combiner of pictures and texts; it takes both at once, and a collection."""

from __future__ import annotations

from unseen.jobs import SavedModel

SAVED = SavedModel(
    "a combiner of pictures and texts",
    'unseen find COLLECTION --image FILE --text "with ..." --model {folder}',
    file="compose.json",
)
