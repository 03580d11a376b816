"""A maze as a puzzle: its passages and routes, what it asks for, and how it is drawn, masked and scored.

A maze has one route. A *fork* has two or three of equal length; either all of them are right, or the prompt says which
is, or a yellow cell late on one of them does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dit_lens.puzzles.maze.draw import draw_clip, draw_frame, draw_masks
from dit_lens.puzzles.maze.routes import own_cells, route_name
from dit_lens.puzzles.maze.score import score_maze
from dit_lens.puzzles.maze.variants import VARIANTS, Kind, variants_of

if TYPE_CHECKING:
    from dit_lens.puzzles.canvas import Frame, Mask
    from dit_lens.puzzles.contract import Score
    from dit_lens.puzzles.maze.routes import Cell, Passage, Route

__all__ = ["Maze"]

_PLAIN_PROMPT = "Draw the path from the green cell to the red cell."
_CUE_PROMPT = "Draw the path through the yellow cell."
_MOVES = {(-1, 0): "up", (1, 0): "down", (0, -1): "left", (0, 1): "right"}


@dataclass(frozen=True)
class Maze:
    """A puzzle: passages, start, goal and every route between them, in cells of the canvas (row, column).

    Attributes
    ----------
    task : {"maze", "fork"}
        One route, or several of equal length.
    variant : str
        Which of the task's distributions it was drawn from.
    seed : int
        The seed that made it.
    size : int
        Cells along a side of the maze.
    origin : tuple of int
        Upper left cell of the maze.
    passages : frozenset of pair of cells
        Open passages, each pair sorted.
    start, goal : tuple of int
    routes : tuple of tuple of cells
        All simple routes from start to goal, sorted; number ``i`` is called ``route-i``.
    drawn : int
        Index of the route that the clip draws.
    cue : tuple of int or None
        The yellow cell that says which route is right.
    """

    task: Kind
    variant: str
    seed: int
    size: int
    origin: Cell
    passages: frozenset[Passage]
    start: Cell
    goal: Cell
    routes: tuple[Route, ...]
    drawn: int
    cue: Cell | None = None

    @property
    def route(self) -> Route:
        """The route that the clip draws, from start to goal."""
        return self.routes[self.drawn]

    @property
    def asked(self) -> bool:
        """Whether prompt or cue say which of several routes is right."""
        return VARIANTS[self.task, self.variant].chosen_by != "chance"

    @property
    def moves(self) -> tuple[str, ...]:
        """Of a fork, by route: where its first own step leads, up, down, left or right; empty for a maze."""
        if len(self.routes) == 1:
            return ()
        part = next(i for i, cells in enumerate(zip(*self.routes, strict=True)) if len(set(cells)) > 1)
        steps = [(route[part - 1], route[part]) for route in self.routes]
        return tuple(_MOVES[b[0] - a[0], b[1] - a[1]] for a, b in steps)

    @property
    def prompt(self) -> str:
        """The instruction that goes with the first frame."""
        if VARIANTS[self.task, self.variant].chosen_by == "prompt":
            return f"Draw the path and take the {self.moves[self.drawn]} route."
        return _PLAIN_PROMPT if self.cue is None else _CUE_PROMPT

    @property
    def label(self) -> str:
        """Such as ``maze-5x5`` or ``fork-cue-5x5``."""
        default = next(iter(variants_of(self.task)))
        words = [self.task] if self.variant == default else [self.task, self.variant]
        return "-".join([*words, f"{self.size}x{self.size}"])

    @property
    def answer(self) -> str | None:
        """The name of the right route; None if several are."""
        return route_name(self.drawn) if self.asked or len(self.routes) == 1 else None

    @property
    def parameters(self) -> Mapping[str, Any]:
        """What made it and what is true of it, as JSON values."""
        return {
            "task": self.task,
            "variant": self.variant,
            "split": VARIANTS[self.task, self.variant].split,
            "seed": self.seed,
            "size": self.size,
            "origin": list(self.origin),
            "start": list(self.start),
            "goal": list(self.goal),
            "cue": None if self.cue is None else list(self.cue),
            "routes": [[list(cell) for cell in route] for route in self.routes],
            "route_cells": len(self.route),
            "own_cells": len(own_cells(self.routes)[self.drawn]),
            "moves": list(self.moves),
            "drawn": route_name(self.drawn),
            "answer": self.answer,
        }

    def first_frame(self) -> Frame:
        """The picture that the model is given, uint8 (64, 64, 3)."""
        return draw_frame(self)

    def clip(self) -> Frame:
        """The whole answer, uint8 (17, 64, 64, 3): the path grows from start to goal."""
        return draw_clip(self)

    def masks(self) -> Mapping[str, Mask]:
        """Where things are, bool (17, 64, 64) each.

        ``foreground``, ``path``, ``walls``, ``marks`` (start and goal), ``cue`` where there is one, and of a fork
        ``route-0`` and on: the middle of the cells that this route shares with no other, in all frames.
        """
        return draw_masks(self)

    def score(self, video: Frame, frame: int = -1) -> Score:
        """Read one frame of a decoded video, uint8 (F, 64, 64, 3)."""
        return score_maze(self, video, frame)
