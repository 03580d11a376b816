"""The shape of a run, known before it runs: branches, steps with their sigma and expert, layers, tokens, latents.

Everything that is checked before anything is written is checked against this page: selections, the arrays that the
store preallocates, and the list of addresses that must come. It is a plan: what is *recorded* as sigma, timestep and
expert is what the scheduler and the hooks report while the run goes on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dit_lens.captures import SITES

__all__ = ["Layout"]


@dataclass(frozen=True)
class Layout:
    """The axes of one run.

    Attributes
    ----------
    branches : tuple of str
        In the order in which the pipeline runs them.
    experts : tuple of str
        One entry per step.
    timesteps, sigmas : tuple of float, or None
        One entry per step; None where only the running pipeline knows them, because it computes them itself.
    layers : int
        Transformer layers of every expert.
    tokens : tuple of int
        Frames, rows and columns of tokens.
    channels : int
        Width of the residual stream.
    latent : tuple of int
        Channels, frames, height and width of the latents.
    video : tuple of int
        Frames, height and width of the decoded video.
    dtype : str
        In which the denoiser computes.
    heads, head_channels : int
        Of an attention; 0 where the family gives none.
    text_tokens : int
        Length of the prompt as cross-attention sees it; 0 where the family has none.
    frame_stride : int
        Latent frames in one frame of tokens; a frame of tokens is numbered by its first latent frame.
    site_layers : mapping of str to tuple of int
        The layers that have a site inside a block; a site of the layers that is not named has none.
    modules : tuple of str
        Module path of every layer.
    batch : int
        Samples in one call of the pipeline.
    first : int
        The step that runs first; those before it do not run.
    stop : int, optional
        The step before which the run ends.

    Examples
    --------
    >>> steps = {"experts": ("transformer",), "timesteps": (999.0,), "sigmas": (1.0,)}
    >>> sizes = {"layers": 10, "tokens": (5, 8, 8), "channels": 128, "latent": (16, 5, 8, 8), "video": (17, 64, 64)}
    >>> layout = Layout(branches=("cond",), dtype="float32", **steps, **sizes)
    >>> layout.labels("layer", "block.out")[-1], len(layout.labels("token", "block.out"))
    (9, 64)
    >>> layout.has("attn1.q")
    False
    """

    branches: tuple[str, ...]
    experts: tuple[str, ...]
    timesteps: tuple[float, ...] | None
    sigmas: tuple[float, ...] | None
    layers: int
    tokens: tuple[int, int, int]
    channels: int
    latent: tuple[int, int, int, int]
    video: tuple[int, int, int]
    dtype: str
    heads: int = 0
    head_channels: int = 0
    text_tokens: int = 0
    frame_stride: int = 1
    site_layers: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    modules: tuple[str, ...] = ()
    batch: int = 1
    first: int = 0
    stop: int | None = None

    def __repr__(self) -> str:
        frames, rows, columns = self.tokens
        sizes = f"{self.layers} layers, {frames} x {rows} x {columns} tokens, {self.channels} channels"
        runs = "" if len(self.running) == self.steps else f" of which {self.first} to {self.running[-1]} run"
        return f"<dit-lens layout: {'+'.join(self.branches)}, {self.steps} steps{runs}, {sizes}, {self.dtype}>"

    @property
    def steps(self) -> int:
        """Number of denoising steps."""
        return len(self.experts)

    @property
    def running(self) -> range:
        """The steps that run: all, unless the run starts late or stops early."""
        return range(self.first, self.steps if self.stop is None else self.stop)

    def layers_of(self, site: str) -> tuple[int, ...]:
        """The layers that have a site; every layer has a block's input and output."""
        if site in ("block.in", "block.out"):
            return tuple(range(self.layers))
        return self.site_layers.get(site, ())

    def has(self, site: str) -> bool:
        """Whether the family can give a site."""
        return "layer" not in SITES[site].event_dims or bool(self.layers_of(site))

    def labels(self, dim: str, site: str) -> tuple[int | str, ...]:
        """All labels that a dimension of a site has: branch names, otherwise the model's own numbers."""
        if dim == "branch":
            return self.branches
        if dim == "step":
            return tuple(self.running)
        if dim == "layer":
            return self.layers_of(site)
        if dim in ("frame", "key_frame") and "latent_channel" not in SITES[site].value_dims:
            return tuple(range(0, self.tokens[0] * self.frame_stride, self.frame_stride))
        return tuple(range(self._extent(dim)))

    def event_shape(self, site: str) -> tuple[int, ...]:
        """The shape of one event of a site."""
        return tuple(len(self.labels(dim, site)) for dim in SITES[site].value_dims)

    def _extent(self, dim: str) -> int:
        _, rows, columns = self.tokens
        latent = dict(zip(("latent_channel", "frame", "h", "w"), self.latent, strict=True))
        heads = {"head": self.heads, "head_channel": self.head_channels, "text_token": self.text_tokens}
        tokens = {"token": rows * columns, "key_token": rows * columns, "channel": self.channels}
        return {**latent, **heads, **tokens}[dim]
