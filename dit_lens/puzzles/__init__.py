"""Small visual puzzles: generators, clips and rule-based scorers, all deterministic from a seed.

``unseen("maze", 0)`` is the first maze of those whose seeds training does not draw; ``TASKS`` names the others.
"""

from dit_lens.puzzles.contract import UNSEEN_SEEDS, Puzzle, Score, Split, Task
from dit_lens.puzzles.errors import BadPuzzle
from dit_lens.puzzles.folder import write_folder
from dit_lens.puzzles.grounding import GroundingPuzzle, other_objects, other_prompt, swap_objects
from dit_lens.puzzles.maze import Maze, routes_visible
from dit_lens.puzzles.occlusion import Occlusion
from dit_lens.puzzles.recognise import named_puzzle, recognise
from dit_lens.puzzles.registry import TASKS, make_puzzle, unseen

__all__ = [
    "TASKS",
    "UNSEEN_SEEDS",
    "BadPuzzle",
    "GroundingPuzzle",
    "Maze",
    "Occlusion",
    "Puzzle",
    "Score",
    "Split",
    "Task",
    "make_puzzle",
    "named_puzzle",
    "other_objects",
    "other_prompt",
    "recognise",
    "routes_visible",
    "swap_objects",
    "unseen",
    "write_folder",
]
