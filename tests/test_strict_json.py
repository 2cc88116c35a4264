"""JSON as every reader takes it."""

from __future__ import annotations

import json
import math

import pytest

from unseen.strict_json import strict_json


def test_what_is_no_number_is_null_and_the_rest_stays() -> None:
    value = {"a": [1.5, math.nan, (math.inf, "ä")], "b": None}
    assert json.loads(strict_json(value)) == {"a": [1.5, None, [None, "ä"]], "b": None}
    assert "ä" in strict_json(value)
    with pytest.raises(TypeError):
        strict_json({1, 2})
    assert json.loads(strict_json({"a": {2}}, list)) == {"a": [2]}


def test_half_a_character_is_written_so_that_every_file_can_hold_it() -> None:
    text = strict_json({"name": "\udcff.png", "other": "ä"})
    assert text.isascii()
    assert json.loads(text) == {"name": "\udcff.png", "other": "ä"}
