"""How alike two representations of the same tokens are, as plain functions on tensors and arrays.

A representation is a matrix: a row for each token, a column for each channel. What is compared are geometries, so the
number of channels may differ; the rows must be the same tokens in the same order.

>>> import torch
>>> rows_NC = torch.randn(200, 16, generator=torch.Generator().manual_seed(0))
>>> turned_NC = rows_NC @ torch.linalg.qr(torch.randn(16, 16, generator=torch.Generator().manual_seed(1))).Q
>>> round(cka(rows_NC, 3 * turned_NC + 100), 4)
1.0
"""

from dit_lens_probes.similarity.batches import choose_batch, frame_batches, token_batches
from dit_lens_probes.similarity.bootstrap import draw_counts, pair_draws, pooled, resampled
from dit_lens_probes.similarity.grams import ESTIMATORS, packed_grams, packed_rows
from dit_lens_probes.similarity.kinds import KINDS, Kind, Sketch, kind_of
from dit_lens_probes.similarity.neighbours import mutual_neighbours
from dit_lens_probes.similarity.pairs import KC, cka, pair_products
from dit_lens_probes.similarity.procrustes import procrustes
from dit_lens_probes.similarity.rows import NORMALISE, Facts, prepare_rows
from dit_lens_probes.similarity.tiles import cka_matrix

__all__ = [
    "ESTIMATORS",
    "KC",
    "KINDS",
    "NORMALISE",
    "Facts",
    "Kind",
    "Sketch",
    "choose_batch",
    "cka",
    "cka_matrix",
    "draw_counts",
    "frame_batches",
    "kind_of",
    "mutual_neighbours",
    "packed_grams",
    "packed_rows",
    "pair_draws",
    "pair_products",
    "pooled",
    "prepare_rows",
    "procrustes",
    "resampled",
    "token_batches",
]
