"""How many components, and how soft a margin, tell scikit-learn's handwritten digits apart best?"""

import numpy as np
import pandas as pd
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import cross_val_score
from sklearn.svm import SVC

from jpipe import pipeline, step


@step
def digits() -> tuple[np.ndarray, np.ndarray]:
    return load_digits(return_X_y=True)


@step
def project(X: np.ndarray, k: int) -> np.ndarray:
    return PCA(k, random_state=0).fit_transform(X)


def accuracy(Z: np.ndarray, y: np.ndarray, C: float) -> float:
    return float(cross_val_score(SVC(C=C), Z, y, cv=5).mean())


@step
def score(Z: np.ndarray, y: np.ndarray, C: float) -> dict[str, float]:
    return {"k": Z.shape[1], "C": C, "acc": accuracy(Z, y, C)}


@step
def table(rows: list[dict[str, float]]) -> pd.DataFrame:
    return pd.DataFrame(rows).sort_values("acc", ascending=False)


@pipeline
def main(ks: tuple[int, ...] = (8, 16, 32), Cs: tuple[float, ...] = (0.1, 1.0, 10.0)) -> pd.DataFrame:
    X, y = digits()
    Zs = [project(X, k) for k in ks]
    return table([score(Z, y, C) for Z in Zs for C in Cs])


if __name__ == "__main__":
    print(main())
