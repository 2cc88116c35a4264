"""ONNX beside torch: which difference is one of rounding."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from unseen.nn.export import export_onnx

pytest.importorskip("onnxruntime")


class Apart(nn.Module):
    """Outputs of a size, which a file has a share less of."""

    def __init__(self, size: float, share: float) -> None:
        super().__init__()
        self.size, self.share = size, share

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        written = torch.onnx.is_in_onnx_export() or torch.compiler.is_exporting()
        return x.tanh() * (self.size * (1 - self.share) if written else self.size)


@pytest.mark.parametrize(("size", "share", "fits"), [(1e6, 1e-6, True), (1e6, 0.01, False), (1.0, 0.01, False)])
def test_large_outputs_may_differ_by_a_share_of_them(tmp_path: Path, size: float, share: float, fits: bool) -> None:
    if fits:
        assert export_onnx(Apart(size, share), torch.randn(2, 4), tmp_path / "m.onnx") == pytest.approx(share, rel=0.2)
        return
    with pytest.raises(ValueError, match=r"differs from torch by 0\.0\d+, more than 0\.001"):
        export_onnx(Apart(size, share), torch.randn(2, 4), tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


def test_small_outputs_differ_by_what_they_differ(tmp_path: Path) -> None:
    assert export_onnx(Apart(0.01, 0.05), torch.randn(2, 4), tmp_path / "m.onnx") < 1e-3
