"""What a family takes apart it puts together again: tokens in a layer's stream, items of a tuple, packed latents."""

from __future__ import annotations

from collections import namedtuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dit_lens.adapters import Family, Stack, families
from dit_lens.generation import Size

SHAPES = {
    "none": lambda b, f, n, t: (b, f * n, 4),
    "prefix": lambda b, f, n, t: (b, t + f * n, 4),
    "suffix": lambda b, f, n, t: (b, f * n + t, 4),
    "space": lambda b, f, n, t: (b * f, n, 4),
    "time": lambda b, f, n, t: (b * n, f, 4),
}
extent = st.integers(1, 4)


@settings(deadline=None)
@given(how=st.sampled_from(sorted(SHAPES)), b=extent, f=extent, h=extent, w=extent, text=st.integers(0, 3))
def test_tokens_are_put_back_where_they_were(how, b, f, h, w, text):
    stack = Stack("blocks", fold=how) if how in ("space", "time") else Stack("blocks", text=how)
    shape = SHAPES[how](b, f, h * w, text)
    stream = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    before = stream.clone()
    frames = stack.frames(stream, (f, h, w))
    assert torch.equal(stack.with_frames(stream, frames), stream)
    changed = stack.with_frames(stream, frames + 1)
    assert torch.equal(stack.frames(changed, (f, h, w)), frames + 1)
    assert int((changed != stream).sum()) == frames.numel(), "text beside the video stays"
    assert torch.equal(stream, before)


Pair = namedtuple("Pair", ["text", "video"])


@pytest.mark.parametrize("output", [("text", "video"), ["text", "video"], Pair("text", "video")])
@pytest.mark.parametrize("item", [1, -1])
def test_the_other_items_stay_and_so_does_the_kind(output, item):
    stack = Stack("blocks", video=item)
    changed = stack.with_video(output, "other")
    assert type(changed) is type(output)
    assert list(changed) == ["text", "other"]
    assert stack.video_of(changed) == "other"
    assert Stack("blocks").with_video("video", "other") == "other"


@pytest.mark.parametrize("pattern", sorted({family.latent for family in families()} | {"b (f h w) (c p q)"}))
def test_latents_are_packed_as_they_are_unpacked(pattern):
    family = Family(name="x", model="X", pipelines=(), stacks=(), size=Size(8, 12, 3), latent=pattern)
    frames = 3 if "f" in pattern else 1
    latents = torch.arange(2 * 4 * frames * 4 * 6.0).view(2, 4, frames, 4, 6)
    packed = family.packed(latents)
    assert torch.equal(family.latents_of(packed, (4, frames, 4, 6)), latents)
