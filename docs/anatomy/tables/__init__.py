"""From records to the rows that the page shows and the figures draw: pure functions of the JSON files."""

from anatomy.tables.choices import SwapRow, chosen_right, swap_rows
from anatomy.tables.commitment import CommitmentRow, commitment_rows, reached_by
from anatomy.tables.gap import GapRow, group_rows, right_by_step, route_rows
from anatomy.tables.layers import LayerRow, layer_rows, shares_of
from anatomy.tables.splits import SplitRow, Visible, expected_minority, split_rows, visible_routes
from anatomy.tables.sweeps import SweepRow, frame_rows, step_rows

__all__ = [
    "CommitmentRow",
    "GapRow",
    "LayerRow",
    "SplitRow",
    "SwapRow",
    "SweepRow",
    "Visible",
    "chosen_right",
    "commitment_rows",
    "expected_minority",
    "frame_rows",
    "group_rows",
    "layer_rows",
    "reached_by",
    "right_by_step",
    "route_rows",
    "shares_of",
    "split_rows",
    "step_rows",
    "swap_rows",
    "visible_routes",
]
