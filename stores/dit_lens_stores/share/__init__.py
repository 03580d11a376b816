"""Share a store: one zip, or the Hugging Face Hub, S3, and whatever fsspec knows; fetch it again, or a part of it."""

from __future__ import annotations

from dit_lens_stores.share.checks import check_structure, check_whole
from dit_lens_stores.share.pulling import Pulled, pull
from dit_lens_stores.share.pushing import Pushed, pack, push
from dit_lens_stores.share.scan import PrivateContent, check_private, find_private
from dit_lens_stores.share.targets import Target, target_of

__all__ = [
    "PrivateContent",
    "Pulled",
    "Pushed",
    "Target",
    "check_private",
    "check_structure",
    "check_whole",
    "find_private",
    "pack",
    "pull",
    "push",
    "target_of",
]
