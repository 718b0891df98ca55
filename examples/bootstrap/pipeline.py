"""How sure is a regression of itself? Bootstrap replicates: the same call many times, each with a seed of its own."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Ridge

import jpipe
from jpipe import File, pipeline, step

FEATURES = ["bmi", "bp", "s5"]


@step
def patients() -> pd.DataFrame:
    """442 patients: body mass, blood pressure, triglycerides, and how their diabetes went on. Inside scikit-learn."""
    return load_diabetes(as_frame=True).frame[[*FEATURES, "target"]]


@step
def replicate(table: pd.DataFrame, alpha: float) -> np.ndarray:
    """The coefficients of one sample with replacement: (3,). The calls are alike, so jpipe numbers and seeds them."""
    rng = np.random.default_rng(jpipe.seed())
    sample = table.iloc[rng.integers(len(table), size=len(table))]
    return Ridge(alpha).fit(sample[FEATURES], sample["target"]).coef_


@step
def intervals(replicates: list[np.ndarray], level: float) -> pd.DataFrame:
    """One row a feature: the middle, and between which values the coefficient lies."""
    tail = (1 - level) / 2
    low, middle, high = np.quantile(np.stack(replicates), [tail, 0.5, 1 - tail], axis=0).round(1)
    return pd.DataFrame({"low": low, "middle": middle, "high": high}, index=FEATURES)


@step
def figure(table: pd.DataFrame, path: str) -> File:
    picture = Figure(figsize=(6, 2.5), layout="constrained")
    axes = picture.subplots()
    axes.errorbar(
        table["middle"], table.index, xerr=[table["middle"] - table["low"], table["high"] - table["middle"]], fmt="o"
    )
    axes.set(xlabel="coefficient", ylim=(-0.5, len(table) - 0.5))
    picture.savefig(path)
    return File(path)


@pipeline
def main(
    replicates: int = 200,
    alpha: float = 0.1,
    level: float = 0.95,
    path: str = str(Path(__file__).with_name("figure.svg")),
) -> tuple[pd.DataFrame, File]:
    table = patients()
    result = intervals([replicate(table, alpha) for _ in range(replicates)], level)
    return result, figure(result, path)


if __name__ == "__main__":
    print(main()[0])
