"""A plain parallel map over joblib's backends, with nothing cached: chunks, order, large arguments, errors."""

from __future__ import annotations

from jpipe.mapping.bar import Bar, default_bar, map_with_bar
from jpipe.mapping.front import parallel_map

__all__ = ["Bar", "default_bar", "map_with_bar", "parallel_map"]
