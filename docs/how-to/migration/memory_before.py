import numpy as np
from joblib import Memory, Parallel, delayed

memory = Memory("joblib-cache", verbose=0)


@memory.cache
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 20))
    return X, X @ rng.normal(size=20) + rng.normal(size=400)


@memory.cache
def error(X, y, alpha):
    train, test = slice(0, 300), slice(300, 400)
    weights = np.linalg.solve(X[train].T @ X[train] + alpha * np.eye(20), X[train].T @ y[train])
    return float(np.mean((X[test] @ weights - y[test]) ** 2))


if __name__ == "__main__":
    X, y = data()
    alphas = [0.01, 1.0, 100.0]
    errors = Parallel(n_jobs=2)(delayed(error)(X, y, alpha) for alpha in alphas)
    print(f"best alpha: {alphas[int(np.argmin(errors))]}, error {min(errors):.4f}")
