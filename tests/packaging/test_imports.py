"""What may be imported when: help and plain readers of stores must not wait for torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

import dit_lens


def modules_after(code: str) -> set[str]:
    program = f"import sys\n{code}\nsys.stderr.write(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    return {name.split(".")[0] for name in done.stderr.split()}


def test_importing_dit_lens_imports_no_heavy_library() -> None:
    assert not {"torch", "diffusers", "zarr", "xarray"} & modules_after("import dit_lens")


def test_opening_stores_needs_no_torch() -> None:
    loaded = modules_after("from dit_lens_stores import open_store, create_store")
    assert not {"torch", "diffusers", "dit_lens"} & loaded


def test_captures_and_probes_need_no_torch() -> None:
    code = "import dit_lens as d; d.Capture, d.Selection, d.Address, d.Generation, d.analyze; d.list_probes()"
    assert not {"torch", "diffusers"} & modules_after(code)


@pytest.mark.parametrize("name", dit_lens.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(dit_lens, name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'traces'"):
        _ = dit_lens.traces
