"""Small visual puzzles: generator, renderer and rule-based scorer, deterministic from a seed."""

from dit_lens.puzzles.draw import draw_clip, draw_frame
from dit_lens.puzzles.folder import write_folder
from dit_lens.puzzles.maze import Maze, make_maze, unseen
from dit_lens.puzzles.score import MazeScore, score_maze

__all__ = ["Maze", "MazeScore", "draw_clip", "draw_frame", "make_maze", "score_maze", "unseen", "write_folder"]
