"""Settings of the process are turned to full precision and put back as they were, in whatever way they were made."""

from __future__ import annotations

import pytest
import torch

from dit_lens.engine.precision import full_precision

CUDA, CPU = torch.backends.cuda.matmul, torch.backends.mkldnn.matmul
WAYS = {
    "medium": lambda: torch.set_float32_matmul_precision("medium"),
    "high": lambda: torch.set_float32_matmul_precision("high"),
    "allow_tf32": lambda: setattr(CUDA, "allow_tf32", True),
    "one backend": lambda: setattr(CUDA, "fp32_precision", "tf32"),
    "the other backend": lambda: setattr(CPU, "fp32_precision", "bf16"),
    "all backends": lambda: setattr(torch.backends, "fp32_precision", "tf32"),
    "medium, but not on cuda": lambda: (torch.set_float32_matmul_precision("medium"), setattr(CUDA, *IEEE)),
}
IEEE = "fp32_precision", "ieee"


def _settings():
    try:
        whole = torch.get_float32_matmul_precision()
    except RuntimeError:  # torch does not tell it if the backends contradict it
        whole = "contradicted"
    return CUDA.fp32_precision, CPU.fp32_precision, torch.backends.fp32_precision, whole


@pytest.fixture(autouse=True)
def clean():
    yield
    torch.set_float32_matmul_precision("highest")
    for backend in (torch.backends, CUDA, CPU):
        backend.fp32_precision = "none"


@pytest.mark.parametrize("way", WAYS)
def test_products_are_full_inside_and_settings_are_put_back(way):
    a, b = torch.randn(2, 128, 128, generator=torch.Generator().manual_seed(0))
    full = a @ b
    WAYS[way]()
    before = _settings()
    with full_precision("cpu"):
        assert CUDA.fp32_precision in ("none", "ieee")
        assert CPU.fp32_precision in ("none", "ieee")
        assert torch.equal(a @ b, full)
    assert _settings() == before
    with pytest.raises(ValueError, match="stop"), full_precision("cpu"):
        raise ValueError("stop")
    assert _settings() == before


def test_what_is_inherited_is_still_inherited():
    torch.backends.fp32_precision = "tf32"
    with full_precision("cpu"):
        pass
    torch.backends.fp32_precision = "none"
    assert CUDA.fp32_precision == CPU.fp32_precision == "none"


def test_nothing_is_set_where_nothing_rounds():
    with full_precision("cpu"):
        assert CUDA.fp32_precision == CPU.fp32_precision == "none"


def test_autocast_is_off_inside():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        with full_precision("cpu"):
            assert not torch.is_autocast_enabled("cpu")
        assert torch.is_autocast_enabled("cpu")
