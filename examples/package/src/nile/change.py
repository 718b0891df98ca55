"""Finding a year in which a series changed."""

import numpy as np
import pandas as pd

from nile.settings import QUANTILE


def strongest_change(series: pd.Series, width: int) -> tuple[int, float]:
    """The year at which the middles of the years before and after differ most, and by how much."""
    years = series.index[width:-width]
    drops = {int(year): _drop(series, year, width) for year in years}
    year = max(drops, key=lambda one: abs(drops[one]))
    return year, round(drops[year], 1)


def _drop(series: pd.Series, year: int, width: int) -> float:
    before, after = series.loc[year - width : year - 1], series.loc[year : year + width - 1]
    return float(np.quantile(after, QUANTILE) - np.quantile(before, QUANTILE))
