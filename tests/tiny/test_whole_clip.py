"""Whole clips give what the chunks of ``AutoencoderKLWan`` give, forwards and backwards, and leave nothing behind."""

from __future__ import annotations

import pytest
import torch
from diffusers import AutoencoderKLWan

from dit_lens.tiny.train.autoencoder import build_autoencoder
from dit_lens.tiny.train.whole_clip import whole_clips


@pytest.fixture(scope="module")
def vae() -> AutoencoderKLWan:
    return build_autoencoder().double().eval()


def clip(frames: int) -> torch.Tensor:
    return torch.randn(1, 3, frames, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(frames))


@pytest.mark.parametrize("frames", [1, 5, 9, 17])
@torch.no_grad()
def test_whole_clips_are_coded_as_in_chunks(vae: AutoencoderKLWan, frames: int) -> None:
    x = clip(frames)
    z = vae.encode(x).latent_dist.mode()
    y = vae.decode(z).sample
    with whole_clips(vae) as clips:
        torch.testing.assert_close(clips.encode(x), z, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(clips.decode(z).clamp(-1, 1), y, rtol=1e-9, atol=1e-9)


def test_gradients_are_those_of_the_chunks(vae: AutoencoderKLWan) -> None:
    def gradients(coded: torch.Tensor) -> list[torch.Tensor]:
        return list(torch.autograd.grad(coded.square().sum(), list(vae.encoder.parameters())))

    chunked = gradients(vae.encode(clip(9)).latent_dist.mode())
    with whole_clips(vae) as clips:
        whole = gradients(clips.encode(clip(9)))
    for one, other in zip(whole, chunked, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-7 * float(other.abs().max()))


@torch.no_grad()
def test_it_can_be_called_as_usual_inside_and_after(vae: AutoencoderKLWan) -> None:
    x, before = clip(9), {name: dict(part.__dict__) for name, part in vae.named_modules()}
    expected = vae.encode(x).latent_dist.mode()
    with whole_clips(vae):
        assert torch.equal(vae.encode(x).latent_dist.mode(), expected)
    assert torch.equal(vae.encode(x).latent_dist.mode(), expected)
    assert all("forward" not in part.__dict__ for part in vae.modules())
    assert {name: set(part.__dict__) for name, part in vae.named_modules()} == {n: set(d) for n, d in before.items()}
