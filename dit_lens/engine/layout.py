"""The shape of a run, known before it runs: branches, steps with their sigma and expert, layers, tokens, latents.

Everything that is checked before anything is written is checked against this page: selections, the arrays that the
store preallocates, and the list of addresses that must come. It is a plan: what is *recorded* as sigma, timestep and
expert is what the scheduler and the hooks report while the run goes on.
"""

from __future__ import annotations

from dataclasses import dataclass

from dit_lens.captures import SITES

__all__ = ["Layout"]


@dataclass(frozen=True)
class Layout:
    """The axes of one run.

    Attributes
    ----------
    branches : tuple of str
        In the order in which the pipeline runs them.
    experts, timesteps, sigmas : tuple
        One entry per step.
    layers : int
        Transformer layers of every expert.
    tokens : tuple of int
        Latent frames, rows and columns of tokens.
    channels : int
        Width of the residual stream.
    latent : tuple of int
        Channels, frames, height and width of the latents.
    video : tuple of int
        Frames, height and width of the decoded video.
    dtype : str
        In which the denoiser computes.

    Examples
    --------
    >>> steps = {"experts": ("transformer",), "timesteps": (999.0,), "sigmas": (1.0,)}
    >>> sizes = {"layers": 10, "tokens": (5, 8, 8), "channels": 128, "latent": (16, 5, 8, 8), "video": (17, 64, 64)}
    >>> layout = Layout(branches=("cond",), dtype="float32", **steps, **sizes)
    >>> layout.labels("layer", "block.out")[-1], len(layout.labels("token", "block.out"))
    (9, 64)
    """

    branches: tuple[str, ...]
    experts: tuple[str, ...]
    timesteps: tuple[float, ...]
    sigmas: tuple[float, ...]
    layers: int
    tokens: tuple[int, int, int]
    channels: int
    latent: tuple[int, int, int, int]
    video: tuple[int, int, int]
    dtype: str

    @property
    def steps(self) -> int:
        """Number of denoising steps."""
        return len(self.experts)

    def labels(self, dim: str, site: str) -> tuple[int | str, ...]:
        """All labels that a dimension of a site has: branch names, otherwise numbers from 0."""
        if dim == "branch":
            return self.branches
        latent = dict(zip(("latent_channel", "frame", "h", "w"), self.latent, strict=True))
        frames, rows, columns = self.tokens
        tokens = {"frame": frames, "token": rows * columns, "channel": self.channels}
        values = latent if "latent_channel" in SITES[site].value_dims else tokens
        return tuple(range({"step": self.steps, "layer": self.layers, **values}[dim]))
