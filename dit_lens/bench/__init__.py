"""A benchmark: puzzles and seeds under one condition, scored by rule, with intervals over both.

``run_bench`` runs it, ``make_table`` sums it up. Folders in the layout of VBVR-Bench are asked in the same way, and
scored by VBVR-EvalKit, whose results ``read_scores`` reads.
"""

from dit_lens.bench.condition import Condition
from dit_lens.bench.errors import BadBench, BadScores, OtherBench
from dit_lens.bench.intervals import Interval, mean_interval, two_level_interval
from dit_lens.bench.questions import Question, puzzle_questions
from dit_lens.bench.results import Result
from dit_lens.bench.running import Bench, Call, prepare_bench, run_bench
from dit_lens.bench.samples import folder_questions
from dit_lens.bench.scores import read_scores, write_scores
from dit_lens.bench.separation import Separation, separation
from dit_lens.bench.table import Row, Table, make_table

__all__ = [
    "BadBench",
    "BadScores",
    "Bench",
    "Call",
    "Condition",
    "Interval",
    "OtherBench",
    "Question",
    "Result",
    "Row",
    "Separation",
    "Table",
    "folder_questions",
    "make_table",
    "mean_interval",
    "prepare_bench",
    "puzzle_questions",
    "read_scores",
    "run_bench",
    "separation",
    "two_level_interval",
    "write_scores",
]
