"""Encode the training clips once, into files of some hundred puzzles each, before the denoiser needs them.

Each file holds the latents of the clips and of their condition (first frame, then grey frames, exactly as
``WanImageToVideoPipeline.prepare_latents`` builds it), as float16, not yet normalised; a JSON file beside it holds
their prompts and tasks. Files are numbered and a finished one is never made again, so an interrupted run goes on
where it stopped.

Shapes: B batch, 3 colours, F frames, H height, W width, Z latent channels, f latent frames, h, w latent height and
width.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKLWan

from dit_lens.tiny.train.autoencoder import build_autoencoder
from dit_lens.tiny.train.precision import mixed_precision
from dit_lens.tiny.train.sampling import SHARES, Shares, clip_tensor, training_puzzle

__all__ = ["Focus", "LatentFiles", "Statistics", "condition_clip", "encode", "encode_file", "encode_files"]

_BATCH = 16
Focus = tuple[str, float]
Statistics = tuple[list[float], list[float]]
"""Mean and standard deviation of every latent channel."""


def condition_clip(x_B3FHW: torch.Tensor) -> torch.Tensor:
    """The first frame followed by zeros (grey): what an image-to-video pipeline encodes as its condition."""
    condition = torch.zeros_like(x_B3FHW)
    condition[:, :, 0] = x_B3FHW[:, :, 0]
    return condition


@torch.no_grad()
def encode(vae: AutoencoderKLWan, x_B3FHW: torch.Tensor) -> torch.Tensor:
    """The mode of the latents, (B, Z, f, h, w), not normalised."""
    z: torch.Tensor = vae.encode(x_B3FHW).latent_dist.mode()
    return z


def encode_file(
    vae: AutoencoderKLWan, folder: Path, number: int, seed: int, per_file: int, shares: Shares = SHARES
) -> Path:
    """Make file ``number`` (puzzles ``number * per_file`` and on) unless it is there."""
    path = _file(folder, number)
    if path.exists():
        return path
    parts: list[np.ndarray] = []
    told: dict[str, list[str]] = {"prompts": [], "tasks": []}
    for indices in batched(range(number * per_file, (number + 1) * per_file), _BATCH):
        puzzles = [training_puzzle(seed, index, shares) for index in indices]
        told["prompts"] += [puzzle.prompt for puzzle in puzzles]
        told["tasks"] += [puzzle.task for puzzle in puzzles]
        x_B3FHW = torch.stack([clip_tensor(puzzle) for puzzle in puzzles])
        with mixed_precision("cpu"):
            pair = [encode(vae, clip).float() for clip in (x_B3FHW, condition_clip(x_B3FHW))]
        parts.append(torch.stack(pair, dim=1).half().numpy())
    path.with_suffix(".json").write_text(json.dumps(told), encoding="utf-8")
    partial = path.with_suffix(".partial.npy")
    np.save(partial, np.concatenate(parts))
    partial.replace(path)
    return path


def encode_files(
    vae: AutoencoderKLWan, folder: Path, count: int, seed: int, per_file: int, shares: Shares = SHARES
) -> None:
    """Make the first ``count`` files, one process with one thread a core: small convolutions gain nothing from two."""
    missing = [number for number in range(count) if not _file(folder, number).exists()]
    if not missing:
        return
    torch.save(vae.state_dict(), folder / "encoder.pt")
    with ProcessPoolExecutor(min(os.cpu_count() or 1, len(missing)), mp_context=get_context("spawn")) as pool:
        for done in [pool.submit(_encode_alone, folder, number, seed, per_file, shares) for number in missing]:
            done.result()


def _encode_alone(folder: Path, number: int, seed: int, per_file: int, shares: Shares) -> None:
    torch.set_num_threads(1)
    vae = (
        build_autoencoder().eval()
    )  # filled by copying: weights mapped from a file may lie otherwise and round otherwise
    vae.load_state_dict(torch.load(folder / "encoder.pt", weights_only=True))
    encode_file(vae, folder, number, seed, per_file, shares)


def _file(folder: Path, number: int) -> Path:
    return folder / f"latents-{number:04d}.npy"


def batched(items: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    """Consecutive runs of at most ``size`` items (``itertools.batched`` from Python 3.12)."""
    return (items[start : start + size] for start in range(0, len(items), size))


class LatentFiles:
    """Random batches from the first files of a folder; a file is opened when it is first needed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._open: list[np.ndarray] = []
        self._prompts: list[str] = []
        self._tasks: list[str] = []

    def batch(
        self, rng: np.random.Generator, size: int, files: int, focus: Focus | None = None
    ) -> tuple[torch.Tensor, torch.Tensor, list[str]]:
        """From the first ``files`` files latents of clips and of conditions, (B, Z, f, h, w) each, and the prompts.

        Of a ``focus``, a task and a share, so many are drawn from that task, and the others as ever from all.
        """
        self._open_files(files)
        per_file = len(self._open[0])
        which = rng.integers(0, files * per_file, size)
        if focus is not None:
            which = self._focused(rng, which, files * per_file, focus)
        pairs = np.stack([self._open[i // per_file][i % per_file] for i in which]).astype(np.float32)
        both = torch.from_numpy(pairs)
        return both[:, 0], both[:, 1], [self._prompts[i] for i in which]

    def _open_files(self, files: int) -> None:
        while len(self._open) < files:
            path = _file(self.folder, len(self._open))
            self._open.append(np.load(path, mmap_mode="r"))
            told = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
            self._prompts += told["prompts"]
            self._tasks += told["tasks"]

    def _focused(self, rng: np.random.Generator, which: np.ndarray, count: int, focus: Focus) -> np.ndarray:
        task, share = focus
        own = np.flatnonzero(np.array(self._tasks[:count]) == task)
        chosen = rng.random(len(which)) < share
        return np.where(chosen, own[rng.integers(0, len(own), len(which))], which) if len(own) else which

    def statistics(self) -> Statistics:
        """Mean and standard deviation of every latent channel over the clips of the first file."""
        clips = np.load(_file(self.folder, 0))[:, 0].astype(np.float64)
        return clips.mean((0, 2, 3, 4)).tolist(), clips.std((0, 2, 3, 4)).tolist()
