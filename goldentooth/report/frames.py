"""pandas frames of reports, where pandas is installed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from goldentooth.errors import UsageError

if TYPE_CHECKING:
    from pandas import DataFrame


def make_frame(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> DataFrame:
    """Return a frame of ``rows``, with an empty one's columns too.

    Raises:
        UsageError: if pandas is not installed.
    """
    try:
        from pandas import DataFrame
    except ImportError as error:
        raise UsageError(
            "frames need pandas, which is not installed\n    pip install pandas"
        ) from error
    return DataFrame([list(row) for row in rows], columns=list(columns))
