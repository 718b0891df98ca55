from itertools import product

import numpy as np
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.model_selection import StratifiedKFold
from sklearn.svm import SVC

from jpipe import pipeline, step


@step
def data() -> tuple[np.ndarray, np.ndarray]:
    return load_iris(return_X_y=True)


@step
def folds(X, y):
    return list(StratifiedKFold(3).split(X, y))


@step
def project(X, fold, components) -> tuple[np.ndarray, np.ndarray]:
    train, test = fold
    pca = PCA(components, random_state=0).fit(X[train])
    return pca.transform(X[train]), pca.transform(X[test])


@step
def score(train, test, y, fold, C):
    return SVC(C=C).fit(train, y[fold[0]]).score(test, y[fold[1]])


@step
def best(grid, scores):
    C, components = grid[int(np.argmax([np.mean(three) for three in scores]))]
    return {"fit__C": C, "project__n_components": components}


@pipeline
def main(components: tuple[int, ...] = (2, 3), Cs: tuple[float, ...] = (0.1, 1.0, 10.0)):
    X, y = data()
    parts = folds(X, y)
    three = [parts[0], parts[1], parts[2]]
    projected = {k: [project(X, fold, k) for fold in three] for k in components}
    grid = list(product(Cs, components))
    scores = [
        [score(train, test, y, fold, C) for (train, test), fold in zip(projected[k], three, strict=True)]
        for C, k in grid
    ]
    return best(grid, scores)


if __name__ == "__main__":
    print(main.run())
