"""Benchmarks are scripts that ``make bench`` runs; pytest leaves them alone."""

from __future__ import annotations

collect_ignore_glob = ["*.py"]
