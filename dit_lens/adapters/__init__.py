"""Adapters: one frozen description per model family says where its layers, tokens and branches are.

A family is data and a few small functions (``Family``); the engine holds all mechanism. Third parties add a family
through the entry-point group ``dit_lens.adapters``.
"""

from dit_lens.adapters.family import Family, Stack
from dit_lens.adapters.registry import families, family_of

__all__ = ["Family", "Stack", "families", "family_of"]
