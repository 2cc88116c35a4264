"""Folders and names of models of transformers: one that is not there is named before transformers is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from unseen.nn.model_places import model_place
from unseen.nn.rankers import pretrained
from unseen.nn.taggers import token_encoder
from unseen.nn.translators import translator
from unseen.nn.writers import writer


@pytest.mark.parametrize("place", ["/nowhere/model", "./model", "../model", "~/no such model"])
def test_a_folder_that_is_not_there_is_named(place: str) -> None:
    for made in (
        lambda: pretrained("AutoModel", place),
        lambda: token_encoder(f"transformer:{place}"),
        lambda: translator(f"seq2seq:{place}"),
        lambda: writer(f"causal:{place}"),
    ):
        with pytest.raises(ValueError, match=f"there is no folder '{place}'"):
            made()


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"the folder '.*' holds no config.json"):
        token_encoder(f"transformer:{tmp_path}")


def test_a_folder_is_read_alone_and_all_else_is_a_name_on_the_hub(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert model_place(str(tmp_path)) == (str(tmp_path), True)
    assert model_place("Helsinki-NLP/opus-mt-en-es") == ("Helsinki-NLP/opus-mt-en-es", False)
