"""Untrained Wan pipelines of the true classes, small enough to run in a tenth of a second, and an observer of our own.

The observer shares no code with the engine: it patches the ``forward`` of the blocks and denoisers and the ``step``
of the scheduler instance, and keeps everything in lists.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers import (
    AutoencoderKLWan,
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    UniPCMultistepScheduler,
    WanImageToVideoPipeline,
    WanPipeline,
    WanTransformer3DModel,
)
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast, UMT5Config, UMT5EncoderModel

from dit_lens.generation import Generation, Size
from dit_lens.lens import Lens, Origin
from dit_lens.sites import SITES

BLOCKS = 3
REDUCED = ("mean", "mean:token", "std", "project:4", "gram:4", "gram:8x2", "top:3")
RAW = [f"{site}:raw" for site in SITES]
EVERYTHING = [
    *RAW,
    *(f"{site}:energy" for site in SITES),
    *(f"block.out:{reduction}" for reduction in REDUCED),
]
SCHEDULERS: dict[str, Callable[[], Any]] = {
    "unipc": lambda: UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=5.0),
    "euler": lambda: FlowMatchEulerDiscreteScheduler(shift=5.0),
    "dpm": lambda: DPMSolverMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=5.0),
}


def _tokenizer() -> PreTrainedTokenizerFast:
    words = {"<pad>": 0, "</s>": 1, "<unk>": 2, "Draw": 3, "the": 4, "path": 5}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")


def _transformer(channels: int) -> WanTransformer3DModel:
    return WanTransformer3DModel(
        patch_size=(1, 1, 1),
        num_attention_heads=2,
        attention_head_dim=12,
        in_channels=channels,
        out_channels=16,
        text_dim=32,
        freq_dim=32,
        ffn_dim=32,
        num_layers=BLOCKS,
        rope_max_seq_len=32,
    ).eval()


def build(kind: str = "i2v", scheduler: str = "unipc", experts: int = 2) -> Any:
    """An untrained pipeline, always with the same weights."""
    torch.manual_seed(0)
    channels = 36 if kind == "i2v" else 16
    parts = {
        "tokenizer": _tokenizer(),
        "text_encoder": UMT5EncoderModel(
            UMT5Config(d_model=32, num_layers=1, num_heads=2, d_kv=8, d_ff=32, vocab_size=16)
        ).eval(),
        "vae": AutoencoderKLWan(base_dim=4, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1).eval(),
        "scheduler": SCHEDULERS[scheduler](),
        "transformer": _transformer(channels),
        "transformer_2": _transformer(channels) if experts == 2 else None,
        "boundary_ratio": 0.9 if experts == 2 else None,
    }
    return (WanImageToVideoPipeline if kind == "i2v" else WanPipeline)(**parts)


def look(pipeline: Any) -> Lens:
    """A lens on a pipeline made for 32 x 32 pixels and 5 frames: 2 latent frames of 4 x 4 tokens."""
    return Lens(pipeline, Origin("untrained", size=Size(32, 32, 5)))


def ask(kind: str = "i2v", **changes: Any) -> Generation:
    """A request of 6 steps: with shift 5 and boundary 0.9, three run on each expert."""
    image = Image.new("RGB", (32, 32), (200, 40, 90)) if kind == "i2v" else None
    few_words = {"max_sequence_length": 16}
    plain = {"prompt": "Draw the path", "image": image, "seed": 3, "steps": 6, "guidance": 3.0, "extra": few_words}
    return Generation(**{**plain, **changes})


class Observer:
    """What one run computed, seen without the engine."""

    def __init__(self, pipeline: Any) -> None:
        self.pipeline = pipeline
        self.blocks: list[Any] = []  # (expert, branch, step, layer, values)
        self.velocities: list[Any] = []  # (expert, branch, step, values)
        self.steps: list[Any] = []  # (expert, timestep, sigma, guided velocity, latent)
        self._calls: Counter[int] = Counter()
        self._now: tuple[str, str, int] = ("", "", 0)

    def denoiser(self, stock: Any, expert: str, *args: Any, **kwargs: Any) -> Any:
        step = len(self.steps)
        self._now = (expert, ("cond", "uncond")[self._calls[step]], step)
        self._calls[step] += 1
        out = stock(*args, **kwargs)
        self.velocities.append((*self._now, out[0][0].clone()))
        return out

    def block(self, stock: Any, number: int, *args: Any, **kwargs: Any) -> Any:
        out = stock(*args, **kwargs)
        self.blocks.append((*self._now, number, out[0].clone()))
        return out

    def step(self, stock: Any, v: Any, t: Any, x: Any, **kwargs: Any) -> Any:
        out = stock(v, t, x, **kwargs)
        sigma = float(self.pipeline.scheduler.sigmas[self.pipeline.scheduler.step_index - 1])
        self.steps.append((self._now[0], float(t), sigma, v[0].clone(), x[0].clone()))
        return out

    def patches(self) -> Iterator[tuple[Any, str, Callable[..., Any]]]:
        yield self.pipeline.scheduler, "step", partial(self.step, self.pipeline.scheduler.step)
        for expert in ("transformer", "transformer_2"):
            model = getattr(self.pipeline, expert)
            if model is not None:
                yield model, "forward", partial(self.denoiser, model.forward, expert)
                for number, layer in enumerate(model.blocks):
                    yield layer, "forward", partial(self.block, layer.forward, number)


@contextmanager
def observer(pipeline: Any) -> Iterator[Observer]:
    """Watch one run without the engine."""
    seen = Observer(pipeline)
    patches = list(seen.patches())
    for thing, name, patched in patches:
        setattr(thing, name, patched)
    try:
        yield seen
    finally:
        for thing, name, _ in patches:
            delattr(thing, name)


@pytest.fixture(scope="session")
def kit() -> SimpleNamespace:
    return SimpleNamespace(
        build=build, look=look, ask=ask, observer=observer, BLOCKS=BLOCKS, EVERYTHING=EVERYTHING, RAW=RAW
    )


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def pipeline() -> Any:
    return build()


@pytest.fixture
def lens(pipeline: Any) -> Lens:
    return look(pipeline)
