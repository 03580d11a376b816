"""What the model would show if it stopped at this step: x0 decoded, read and measured, step by step."""

from dit_lens_probes.trajectory.decoding import Decodes, MissingDecoder
from dit_lens_probes.trajectory.films import write_films
from dit_lens_probes.trajectory.params import TrajectoryParams
from dit_lens_probes.trajectory.probe import Trajectory

__all__ = ["Decodes", "MissingDecoder", "Trajectory", "TrajectoryParams", "write_films"]
