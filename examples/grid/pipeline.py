"""How deep do the trees of a random forest have to be? A grid × seeds → a table → a figure."""

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split

from jpipe import File, pipeline, step


@step
def tumours() -> pd.DataFrame:
    """569 tumours, 30 measurements of each, and whether it is benign; the table comes inside scikit-learn."""
    return load_breast_cancer(as_frame=True).frame


def forest(depth: int, trees: int, seed: int) -> RandomForestClassifier:
    return RandomForestClassifier(n_estimators=trees, max_depth=depth, random_state=seed)


@step
def score(table: pd.DataFrame, depth: int, trees: int, seed: int) -> dict[str, float]:
    """The accuracy on a quarter of the tumours that the forest has not seen."""
    train, test = train_test_split(table, test_size=0.25, random_state=seed)
    model = forest(depth, trees, seed).fit(train.drop(columns="target"), train["target"])
    accuracy = model.score(test.drop(columns="target"), test["target"])
    return {"depth": depth, "trees": trees, "seed": seed, "accuracy": accuracy}


@step
def summary(rows: list[dict[str, float]]) -> pd.DataFrame:
    """Mean and standard deviation over the seeds, one row for each point of the grid."""
    grid = pd.DataFrame(rows).groupby(["depth", "trees"])["accuracy"]
    return grid.agg(["mean", "std"]).round(4).reset_index()


@step
def figure(table: pd.DataFrame, path: str) -> File:
    picture = Figure(figsize=(6, 4), layout="constrained")
    axes = picture.subplots()
    for trees, line in table.groupby("trees"):
        axes.errorbar(line["depth"], line["mean"], line["std"], label=f"{trees} trees", capsize=3)
    axes.set(xlabel="depth", ylabel="accuracy on unseen tumours")
    axes.legend(loc="lower right")
    picture.savefig(path)
    return File(path)


@pipeline
def main(
    depths: tuple[int, ...] = (1, 2, 4, 8),
    sizes: tuple[int, ...] = (5, 20),
    seeds: int = 5,
    path: str = str(Path(__file__).with_name("figure.svg")),
) -> tuple[pd.DataFrame, File]:
    data = tumours()
    scores = [score(data, depth, trees, seed) for depth in depths for trees in sizes for seed in range(seeds)]
    table = summary(scores)
    return table, figure(table, path)


if __name__ == "__main__":
    print(main()[0])
