"""Where attention goes, exactly, without ever holding a map.

A map of Wan2.2-14B has 32,760 x 32,760 entries a head. What is asked of it is small: how much goes to each frame, or
the rows of a few tokens. So the scores of a few heads and queries at a time are computed into a block of bounded
size, turned into probabilities in place with their exact softmax, reduced, and forgotten. Everything is computed in
float32 (float64 stays float64), autocast and TF32 or not, on the device where the queries are; the working memory
beside inputs and results stays under ``BLOCK_BYTES`` however many tokens there are.

Frames and tokens are numbers on the grid of tokens: 0 .. frames - 1, and 0 .. rows x columns - 1 within a frame.

Shapes: H heads, N query tokens, M key tokens, D channels of a head, F frames, L text tokens; a prime marks what was
chosen (F', N', H'), Q are chosen queries of all frames.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch

from dit_lens.engine.errors import Untraceable
from dit_lens.engine.precision import full_precision

__all__ = ["BLOCK_BYTES", "AttentionCall", "frames_attention", "rows_attention", "words_attention"]

BLOCK_BYTES = 64 * 2**20
"""Working memory of a reduction at most, beside its inputs and its result; but always enough for one query."""

Grid = tuple[int, int, int]


@dataclass(frozen=True)
class AttentionCall:
    """One attention of one sample.

    Attributes
    ----------
    q_HND, k_HMD, v_HMD : Tensor
        Queries, keys and values; keys and values may have fewer heads, each then serves a run of query heads.
    scale : float
        By which the products of queries and keys are multiplied.
    mask : Tensor or None
        Boolean (where attention may go) or added to the scores; broadcasts to (H, N, M).
    causal : bool
        A token sees no later token.

    Examples
    --------
    >>> tokens = torch.zeros(2, 6, 4)
    >>> AttentionCall(tokens, tokens, tokens, scale=0.5).key_heads([0, 1])
    [0, 1]
    """

    q_HND: torch.Tensor
    k_HMD: torch.Tensor
    v_HMD: torch.Tensor
    scale: float
    mask: torch.Tensor | None = None
    causal: bool = False

    @property
    def dtype(self) -> torch.dtype:
        """In which probabilities are computed."""
        return torch.float64 if self.q_HND.dtype == torch.float64 else torch.float32

    def key_heads(self, heads: Sequence[int]) -> list[int]:
        """The heads of the keys that query heads look at."""
        group = len(self.q_HND) // len(self.k_HMD)
        return [head // group for head in heads]


@dataclass(frozen=True)
class _Block:
    """Positions among the chosen heads, frames and tokens: whole frames, or part of one."""

    heads: slice
    frames: slice
    tokens: slice


_Take = Callable[[_Block, torch.Tensor], None]
"""Takes the probabilities (H', F', N', M) of a block; the memory is used again for the next block."""


def frames_attention(
    call: AttentionCall, grid: Grid, frames: Sequence[int], tokens: Sequence[int], heads: Sequence[int]
) -> torch.Tensor:
    """How much of each frame's attention goes to each frame: the mean over the chosen query tokens of a frame.

    Parameters
    ----------
    call : AttentionCall
        Over the video's own tokens.
    grid : tuple of int
        Frames, rows and columns of tokens.
    frames, tokens, heads : sequence of int
        The chosen queries: numbers of frames, of tokens within a frame, and of heads.

    Returns
    -------
    Tensor
        (F', H', F); sums to 1 over the last.

    Examples
    --------
    >>> tokens_HND = torch.zeros(1, 6, 4)
    >>> call = AttentionCall(tokens_HND, tokens_HND, tokens_HND, scale=0.5)
    >>> frames_attention(call, (2, 1, 3), frames=[1], tokens=[0, 1, 2], heads=[0])
    tensor([[[0.5000, 0.5000]]])
    """
    _check_video(call, grid)
    count = grid[0]
    shares_FHF = call.q_HND.new_zeros((len(frames), len(heads), count), dtype=call.dtype)

    def take(block: _Block, block_HFNM: torch.Tensor) -> None:
        goes_HFF = block_HFNM.reshape(*block_HFNM.shape[:3], count, -1).sum(-1).sum(2)
        shares_FHF[block.frames, block.heads] += goes_HFF.transpose(0, 1)

    _each_block(call, grid, frames, tokens, heads, take)
    return shares_FHF.div_(len(tokens))


def rows_attention(
    call: AttentionCall, grid: Grid, frames: Sequence[int], tokens: Sequence[int], heads: Sequence[int]
) -> torch.Tensor:
    """To which tokens of the video the attention of the chosen query tokens goes.

    Parameters
    ----------
    call, grid, frames, tokens, heads
        As of ``frames_attention``.

    Returns
    -------
    Tensor
        (F', N', H', F, N); sums to 1 over the last two.

    Examples
    --------
    >>> tokens_HND = torch.zeros(1, 4, 4)
    >>> call = AttentionCall(tokens_HND, tokens_HND, tokens_HND, scale=0.5)
    >>> rows_attention(call, (2, 1, 2), frames=[1], tokens=[0], heads=[0])
    tensor([[[[[0.2500, 0.2500],
               [0.2500, 0.2500]]]]])
    """
    _check_video(call, grid)
    rows_FNHM = _rows(call, grid, frames, tokens, heads)
    return rows_FNHM.reshape(*rows_FNHM.shape[:3], grid[0], -1)


def words_attention(
    call: AttentionCall, grid: Grid, frames: Sequence[int], tokens: Sequence[int], heads: Sequence[int]
) -> torch.Tensor:
    """How much each token of the prompt gets of the attention of the chosen query tokens.

    Parameters
    ----------
    call : AttentionCall
        Of the video's tokens over the prompt's.
    grid, frames, tokens, heads
        As of ``frames_attention``.

    Returns
    -------
    Tensor
        (F', N', H', L); sums to 1 over the last.

    Examples
    --------
    >>> video_HND, text_HMD = torch.zeros(1, 6, 4), torch.zeros(1, 2, 4)
    >>> call = AttentionCall(video_HND, text_HMD, text_HMD, scale=0.5)
    >>> words_attention(call, (2, 1, 3), frames=[0], tokens=[2], heads=[0])
    tensor([[[[0.5000, 0.5000]]]])
    """
    _check_tokens("queries", call.q_HND, grid)
    return _rows(call, grid, frames, tokens, heads)


def _rows(
    call: AttentionCall, grid: Grid, frames: Sequence[int], tokens: Sequence[int], heads: Sequence[int]
) -> torch.Tensor:
    shape = (len(frames), len(tokens), len(heads), call.k_HMD.shape[1])
    rows_FNHM = call.q_HND.new_empty(shape, dtype=call.dtype)

    def take(block: _Block, block_HFNM: torch.Tensor) -> None:
        rows_FNHM[block.frames, block.tokens, block.heads] = block_HFNM.permute(1, 2, 0, 3)

    _each_block(call, grid, frames, tokens, heads, take)
    return rows_FNHM


@torch.no_grad()
def _each_block(
    call: AttentionCall, grid: Grid, frames: Sequence[int], tokens: Sequence[int], heads: Sequence[int], take: _Take
) -> None:
    """Hand over the probabilities of all chosen queries, block by block."""
    device = call.q_HND.device
    tokens_N = torch.tensor(tokens, device=device)
    frames_F = torch.tensor(frames, device=device) * (grid[1] * grid[2])
    keys, most = call.k_HMD.shape[1], min(_queries(call), len(heads) * len(frames) * len(tokens))
    memory = call.q_HND.new_empty(most * keys, dtype=call.dtype)  # one for all blocks: the next would need a second
    with full_precision(device.type):
        for block in _blocks(most, len(heads), len(frames), len(tokens)):
            queries_FN = frames_F[block.frames, None] + tokens_N[block.tokens]
            chosen = list(heads[block.heads])
            scores_HQM = memory[: len(chosen) * queries_FN.numel() * keys].view(len(chosen), -1, keys)
            _probabilities(call, chosen, queries_FN.flatten(), scores_HQM)
            take(block, scores_HQM.view(len(chosen), *queries_FN.shape, keys))


def _queries(call: AttentionCall) -> int:
    """How many queries of one head go into a block.

    Three quarters of the memory are for the scores, for what may be as large as they are (a widened mask, the sums over
    frames of one token each), and for the queries, widened and scaled; a quarter is for a run of keys
    (and its products, where a device cannot write them in place).
    """
    keys, channels = call.k_HMD.shape[1:]
    each = (2 * keys + 3 * channels) * call.dtype.itemsize
    return max(1, BLOCK_BYTES * 3 // 4 // each)


def _blocks(queries: int, heads: int, frames: int, tokens: int) -> Iterator[_Block]:
    """Cut the chosen heads, frames and tokens so that no block has more than so many queries, over all its heads."""
    tokens_each = min(tokens, queries)
    frames_each = min(frames, queries // tokens_each) if tokens_each == tokens else 1
    heads_each = min(heads, max(1, queries // (frames_each * tokens_each)))
    for head in range(0, heads, heads_each):
        for frame in range(0, frames, frames_each):
            for token in range(0, tokens, tokens_each):
                yield _Block(
                    slice(head, min(head + heads_each, heads)),
                    slice(frame, min(frame + frames_each, frames)),
                    slice(token, min(token + tokens_each, tokens)),
                )


def _probabilities(call: AttentionCall, heads: list[int], queries_Q: torch.Tensor, into_HQM: torch.Tensor) -> None:
    """The softmax of some heads and queries over all keys; a query that may look nowhere gets zeros, as in torch."""
    _scores(call, heads, queries_Q, into_HQM)
    _mask(call, heads, queries_Q, into_HQM)
    peak_HQ1 = into_HQM.amax(-1, keepdim=True)
    into_HQM.sub_(peak_HQ1.masked_fill_(peak_HQ1 == float("-inf"), 0)).exp_()
    total_HQ1 = into_HQM.sum(-1, keepdim=True)
    into_HQM.div_(total_HQ1.masked_fill_(total_HQ1 == 0, 1))


def _scores(call: AttentionCall, heads: list[int], queries_Q: torch.Tensor, into_HQM: torch.Tensor) -> None:
    """Scaled products of queries and keys, a run of keys at a time, so that widened keys are bounded too."""
    heads_H = torch.tensor(heads, device=queries_Q.device)
    q_HQD = call.q_HND[heads_H[:, None], queries_Q].to(call.dtype) * call.scale
    count, queries, channels = q_HQD.shape
    keys, key_heads = call.k_HMD.shape[1], _span(call.key_heads(heads))
    run = max(1, BLOCK_BYTES // 4 // (count * (queries + 2 * channels) * call.dtype.itemsize))
    for start in range(0, keys, run):
        k_HMD = call.k_HMD[:, start : start + run][key_heads].to(call.dtype)
        torch.bmm(q_HQD, k_HMD.transpose(1, 2), out=into_HQM[..., start : start + run])


def _mask(call: AttentionCall, heads: list[int], queries_Q: torch.Tensor, into_HQM: torch.Tensor) -> None:
    """Apply in place what a query must not see, or sees with a bias."""
    if call.causal:
        keys_M = torch.arange(call.k_HMD.shape[1], device=queries_Q.device)
        into_HQM.masked_fill_(keys_M > queries_Q[:, None], float("-inf"))
    if call.mask is None:
        return
    mask_HNM = call.mask[(None,) * (3 - call.mask.ndim)]
    for head, scores_QM in zip(heads, into_HQM, strict=True):  # a copy is never larger than the scores of one head
        mask_NM = mask_HNM[head if len(mask_HNM) > 1 else 0]
        mask_QM = mask_NM if len(mask_NM) == 1 else mask_NM[queries_Q]
        if mask_QM.dtype == torch.bool:
            scores_QM.masked_fill_(~mask_QM, float("-inf"))
        else:
            scores_QM.add_(mask_QM)


def _span(numbers: list[int]) -> slice | list[int]:
    """Consecutive numbers as a slice, which copies nothing."""
    first = numbers[0]
    return slice(first, first + len(numbers)) if numbers == list(range(first, first + len(numbers))) else numbers


def _check_video(call: AttentionCall, grid: Grid) -> None:
    _check_tokens("queries", call.q_HND, grid)
    _check_tokens("keys", call.k_HMD, grid)


def _check_tokens(what: str, tokens_HND: torch.Tensor, grid: Grid) -> None:
    expected = grid[0] * grid[1] * grid[2]
    if tokens_HND.shape[1] != expected:
        raise Untraceable(
            f"the {what} of an attention are not the video's tokens; got {tokens_HND.shape[1]}, allowed {expected} "
            f"({grid[0]} frames of {grid[1]} x {grid[2]}); capture attention only of families that attend over the "
            f"video alone"
        )
