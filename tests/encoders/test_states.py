"""What is known of the processor that encodes."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from unseen.encoders.states import processor


@pytest.mark.parametrize("cpuinfo", ["processor\t: 0\nCPU implementer\t: 0x41\n", ""])
def test_a_processor_without_a_model_name_is_called_by_its_architecture(
    cpuinfo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: cpuinfo)
    monkeypatch.setattr(platform, "processor", lambda: "")
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert processor() == "aarch64"


def test_the_model_name_is_what_the_system_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: "processor\t: 0\nmodel name\t: A Processor @ 2 GHz\n")
    assert processor() == "A Processor @ 2 GHz"
