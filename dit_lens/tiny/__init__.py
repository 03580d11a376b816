"""tiny-wan, the embedded model: its weights and the command that trains it again."""

from pathlib import Path

__all__ = ["WEIGHTS"]

WEIGHTS = Path(__file__).parent / "weights"
"""The diffusers folder of the shipped checkpoint."""
