import numpy as np

from jpipe import pipeline, step


@step
def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 20))
    return X, X @ rng.normal(size=20) + rng.normal(size=400)


@step
def error(X, y, alpha):
    train, test = slice(0, 300), slice(300, 400)
    weights = np.linalg.solve(X[train].T @ X[train] + alpha * np.eye(20), X[train].T @ y[train])
    return float(np.mean((X[test] @ weights - y[test]) ** 2))


@step
def best(alphas, errors):
    return f"best alpha: {alphas[int(np.argmin(errors))]}, error {min(errors):.4f}"


@pipeline
def main(alphas: tuple[float, ...] = (0.01, 1.0, 100.0)):
    X, y = data()
    return best(alphas, [error(X, y, alpha) for alpha in alphas])


if __name__ == "__main__":
    print(main.run())
