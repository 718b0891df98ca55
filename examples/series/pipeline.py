"""Which simple model foresees the sunspots best? Each forecasts ten years ahead from many years of the past."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from statsmodels.datasets import sunspots
from statsmodels.tsa.ar_model import AutoReg
from statsmodels.tsa.holtwinters import SimpleExpSmoothing

from jpipe import File, pipeline, step

HORIZON = 10
CYCLE = 11


@step
def series() -> pd.Series:
    """Sunspots a year since 1700; the table comes inside statsmodels."""
    table = sunspots.load_pandas().data
    return pd.Series(table["SUNACTIVITY"].to_numpy(), index=table["YEAR"].astype(int), name="sunspots")


@step
def forecast(spots: pd.Series, model: Callable[[np.ndarray], np.ndarray], year: int) -> dict[str, float | str]:
    """The mean absolute error of one model over the ten years from `year` on."""
    past, future = spots.loc[: year - 1], spots.loc[year : year + HORIZON - 1]
    guess = model(past.to_numpy())
    return {"model": model.__name__, "year": year, "error": float(np.abs(guess - future.to_numpy()).mean())}


def last_cycle(past: np.ndarray) -> np.ndarray:
    return past[-CYCLE:][:HORIZON]


def smoothing(past: np.ndarray) -> np.ndarray:
    return SimpleExpSmoothing(past, initialization_method="estimated").fit().forecast(HORIZON)


def autoregression(past: np.ndarray) -> np.ndarray:
    return AutoReg(past, lags=9).fit().forecast(HORIZON)


MODELS = (last_cycle, smoothing, autoregression)


@step
def errors(rows: list[dict[str, float | str]]) -> pd.DataFrame:
    """One row a year, one column a model."""
    return pd.DataFrame(rows).pivot_table(index="year", columns="model", values="error")


@step
def figure(table: pd.DataFrame, path: str) -> File:
    """The errors over the years, as a picture."""
    picture = Figure(figsize=(8, 4), layout="constrained")
    axes = picture.subplots()
    table.plot(ax=axes, xlabel="forecast from", ylabel=f"mean absolute error over {HORIZON} years")
    picture.savefig(path)
    return File(path)


@pipeline
def main(
    first: int = 1850, last: int = 1995, every: int = 5, path: str = str(Path(__file__).with_name("figure.svg"))
) -> tuple[pd.DataFrame, File]:
    spots = series()
    years = range(first, last + 1, every)
    table = errors([forecast(spots, model, year) for model in MODELS for year in years])
    return table, figure(table, path)


if __name__ == "__main__":
    print(main())
