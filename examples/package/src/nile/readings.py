"""Where the numbers come from."""

import pandas as pd
from statsmodels.datasets import nile


def volumes() -> pd.Series:
    """The yearly volume of the Nile at Aswan, 1871 to 1970, in 10⁸ m³; the table comes inside statsmodels."""
    table = nile.load_pandas().data
    return pd.Series(table["volume"].to_numpy(), index=table["year"].astype(int), name="volume")
