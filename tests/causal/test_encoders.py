"""Encoders that answer from memory change nothing: same bits, own copies, and no trace afterwards."""

from __future__ import annotations

import pytest
import torch

from dit_lens.causal.encoders import remembering_encoders


@pytest.fixture
def counted(small, monkeypatch):
    """How often each encoder really ran."""
    counts = {"vae": 0, "text": 0}
    encode, forward = small.pipeline.vae.encode, small.pipeline.text_encoder.forward

    def counting(name, stock):
        def call(*args, **kwargs):
            counts[name] += 1
            return stock(*args, **kwargs)

        return call

    monkeypatch.setattr(small.pipeline.vae, "encode", counting("vae", encode))
    monkeypatch.setattr(small.pipeline.text_encoder, "forward", counting("text", forward))
    return counts


def test_a_run_has_the_same_bits_and_encodes_once(small, smaller, counted):
    plain = small.generate(smaller, decode=False).latents
    once = dict(counted)
    with remembering_encoders(small.pipeline):
        first = small.generate(smaller, decode=False).latents
        second = small.generate(smaller, decode=False).latents
    assert torch.equal(first, plain)
    assert torch.equal(second, plain)
    assert min(once.values()) > 0
    assert counted == {name: 2 * count for name, count in once.items()}


def test_other_frames_and_prompts_are_encoded(small, smaller, counted):
    with remembering_encoders(small.pipeline):
        small.generate(smaller, decode=False)
        before = dict(counted)
        small.generate(type(smaller)(**{**vars(smaller), "prompt": "Mark the red one."}), decode=False)
    assert counted["text"] > before["text"]
    assert counted["vae"] == before["vae"]


def test_what_an_answer_becomes_is_not_remembered(small):
    video = torch.zeros(1, 3, 5, 32, 32)
    with remembering_encoders(small.pipeline), torch.no_grad():
        first = small.pipeline.vae.encode(video).latent_dist.mean
        kept = first.clone()
        first.zero_()
        assert torch.equal(small.pipeline.vae.encode(video).latent_dist.mean, kept)


def test_only_a_few_answers_are_kept(small, counted):
    with remembering_encoders(small.pipeline), torch.no_grad():
        for value in (0, 1, 2, 3, 4, 0):
            small.pipeline.vae.encode(torch.full((1, 3, 1, 32, 32), float(value)))
    assert counted["vae"] == 6


def test_nothing_is_left_behind(small):
    before = dict(small.pipeline.vae.__dict__), dict(small.pipeline.text_encoder.__dict__)
    with pytest.raises(ValueError, match="too many values"), remembering_encoders(small.pipeline):
        small.pipeline.vae.encode(torch.zeros(1, 3, 1, 30, 30, 7))
    assert (dict(small.pipeline.vae.__dict__), dict(small.pipeline.text_encoder.__dict__)) == before


def test_what_diffusers_moves_and_what_needs_gradients_runs_as_ever(small, counted, monkeypatch):
    video = torch.zeros(1, 3, 1, 32, 32)
    with remembering_encoders(small.pipeline):
        small.pipeline.vae.encode(video)
        small.pipeline.vae.encode(video)
    assert counted["vae"] == 2
    monkeypatch.setattr(small.pipeline.vae, "_hf_hook", object(), raising=False)
    with remembering_encoders(small.pipeline), torch.no_grad():
        small.pipeline.vae.encode(video)
        small.pipeline.vae.encode(video)
    assert counted["vae"] == 4
