"""Mazes with thin walls, and forks: mazes with two or three equally long routes, one of which may be asked for."""

from dit_lens.puzzles.maze.draw import draw_clip, draw_frame
from dit_lens.puzzles.maze.generate import make_maze
from dit_lens.puzzles.maze.puzzle import Maze
from dit_lens.puzzles.maze.tasks import FORK, MAZE
from dit_lens.puzzles.maze.variants import LONGEST_TRAINED_ROUTE
from dit_lens.puzzles.maze.visible import routes_visible

__all__ = [
    "FORK",
    "LONGEST_TRAINED_ROUTE",
    "MAZE",
    "Maze",
    "draw_clip",
    "draw_frame",
    "make_maze",
    "routes_visible",
]
