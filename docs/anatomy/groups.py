"""The groups of unseen puzzles that the page compares: by task, variant and, of mazes, size."""

from __future__ import annotations

from dataclasses import dataclass

from dit_lens.puzzles import TASKS, Puzzle, unseen

__all__ = ["BY_NAME", "GROUPS", "MAZES", "ONE_OF_EACH", "Group"]


@dataclass(frozen=True)
class Group:
    """Puzzles of one distribution.

    Attributes
    ----------
    name : str
        Key in the JSON files.
    title : str
        What the page and the figures call it.
    task, variant : str
    size : int or None
        None for a task without sizes, or for all sizes of the variant.
    """

    name: str
    title: str
    task: str
    variant: str
    size: int | None = None

    @property
    def in_domain(self) -> bool:
        """Whether the shipped model was trained on this distribution."""
        return TASKS[self.task].variants[self.variant] == "in-domain"

    def puzzle(self, index: int) -> Puzzle:
        """Unseen puzzle number ``index``; it is drawn from the seed ``index`` as well."""
        return unseen(self.task, index, self.variant, self.size)


MAZES = (
    *(Group(f"maze-{size}", f"maze {size} x {size}", "maze", "plain", size) for size in (3, 4, 5, 6, 7)),
    Group("maze-large", "maze 8 x 8 (out of domain)", "maze", "large"),
    Group("maze-long", "maze, long route (out of domain)", "maze", "long"),
)
GROUPS = (
    *MAZES,
    Group("fork", "fork, two routes", "fork", "free"),
    Group("fork-prompt", "fork, route named by the prompt", "fork", "prompt"),
    Group("fork-cue", "fork, route marked by a cue", "fork", "cue"),
    Group("grounding", "grounding", "grounding", "plain"),
    Group("occlusion", "occlusion", "occlusion", "plain"),
)
BY_NAME = {group.name: group for group in GROUPS}
ONE_OF_EACH = ("maze-7", "fork", "grounding", "occlusion")
"""One group of each task."""
