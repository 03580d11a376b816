"""Hold a model family against a running pipeline: where its layers, tokens and branches are, and that a trace is true.

Nothing of it believes what the family says: latents are moved at the denoiser's door, and the tokens that move behind
it are looked up; a layer's output is exchanged for what it was, and for zeros; parts of a layer are told apart by what
they do, and pixels are compared with the pipeline's own. It works for any size of model, trained or not, and leaves
nothing behind.
"""

from dit_lens.testing.adapter.check import check_adapter
from dit_lens.testing.adapter.report import AdapterCheck, AdapterReport
from dit_lens.testing.adapter.request import small_request
from dit_lens.testing.errors import AdapterFailed

__all__ = ["AdapterCheck", "AdapterFailed", "AdapterReport", "check_adapter", "small_request"]
