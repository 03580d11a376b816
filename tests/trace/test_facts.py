"""Requests that a model could tell apart have different facts, and one request has the same in every process."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from dit_lens.facts import fact
from dit_lens.generation import Generation, Size
from dit_lens.manifest import request_manifest

LONG = torch.zeros(5000)
OTHER = LONG.clone()
OTHER[2500] = 1
NAMES = Image.new("P", (2, 2))
PALETTE = NAMES.copy()
PALETTE.putpalette([7] * 768)


def _extra(value):
    request = Generation(prompt="Draw.", seed=0, steps=4, extra={"x": value})
    return json.dumps(request_manifest(request, Size(64, 64, 17))["extra"], sort_keys=True, allow_nan=False)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"m": LONG}, {"m": OTHER}),
        ([{"m": (LONG,)}], [{"m": (OTHER,)}]),
        (np.zeros(5000), np.asarray(OTHER, np.float64)),
        (torch.ones(3, dtype=torch.bfloat16), torch.ones(3)),
        (torch.ones(3, dtype=torch.float16), torch.ones(3, dtype=torch.bfloat16)),
        (torch.ones(2, 3), torch.ones(3, 2)),
        (torch.ones(1), torch.ones(())),
        (torch.ones(2), np.ones(2, np.float32).astype(">f4")),
        (np.zeros(2, np.int32), np.zeros(1, np.int64)),
        (torch.tensor([1 + 2j]), torch.tensor([1 + 2j]).conj()),
        (Image.new("RGBA", (8, 8), (1, 2, 3, 255)), Image.new("RGBA", (8, 8), (1, 2, 3, 0))),
        (Image.new("RGB", (2, 8)), Image.new("RGB", (8, 2))),
        (Image.new("L", (4, 4)), Image.new("P", (4, 4))),
        (NAMES, PALETTE),
        ({"im": Image.new("RGB", (8, 8))}, {"im": Image.new("RGB", (8, 8), (0, 0, 1))}),
        ("/imagine a dog", "/imagine a cat"),
        ("/imagine a dog", None),
        ({1: "a"}, {"1": "a"}),
        ({"_scale": 1.0}, {"_scale": 2.0}),
        (float("nan"), "nan"),
        (1, "1"),
        (len, max),
        (b"a", b"b"),
        ({1, 2}, {1, 3}),
        (slice(1), slice(2)),
        (torch.float16, torch.bfloat16),
    ],
)
def test_different_values_have_different_facts(one, other):
    assert _extra(one) != _extra(other)
    assert _extra(one) == _extra(one)


def test_a_text_stays_a_text():
    assert fact("/imagine a dog") == "/imagine a dog"
    assert fact({"prompt_2": "/no such folder/a.png"}) == {"prompt_2": "/no such folder/a.png"}
    assert fact("/" + "a" * 5000) == "/" + "a" * 5000
    assert fact("/a\0b") == "/a\0b"


def test_a_file_is_known_by_its_bytes_and_not_by_its_place(tmp_path):
    for name, content in {"a": b"1", "b": b"1", "c": b"2"}.items():
        (tmp_path / name).write_bytes(content)
    one, same, other = (fact(str(tmp_path / name)) for name in "abc")
    assert one == same != other
    assert str(tmp_path) not in json.dumps([one, fact(tmp_path), fact(str(tmp_path))])


def test_a_view_is_known_by_its_values():
    both = torch.arange(6.0).reshape(2, 3)
    assert fact(both.T) == fact(both.T.contiguous()) != fact(both)


def test_the_order_of_a_mapping_is_none_of_its_facts():
    assert _extra({"a": 1, "b": 2}) == _extra({"b": 2, "a": 1})


def test_nothing_says_where_in_memory_it_lay():
    thing = "import dit_lens.facts as f; print(f.fact([len, object(), f.fact, {3, 1, 'x'}, print]))"
    ran = [
        subprocess.run(
            [sys.executable, "-c", thing], capture_output=True, text=True, check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    ]  # fmt: skip
    assert ran[0] == ran[1]
    assert "0x" not in ran[0]
    assert "'name': 'dit_lens.facts.fact'" in ran[0]


def test_names_of_traces_differ_with_what_is_nested(kit):
    lens = kit.look(kit.build("t2v"))
    words = {"max_sequence_length": 16}
    ids = {
        lens.default_trace_id(kit.ask("t2v", extra={**words, "attention_kwargs": {"scale": 1.0, "m": m}}))
        for m in (LONG, OTHER, LONG.bfloat16())
    }
    assert len(ids) == 3
