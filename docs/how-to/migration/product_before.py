from itertools import product

from joblib import Memory, Parallel, delayed

memory = Memory("joblib-cache", verbose=0)


@memory.cache
def simulate(rate, seed):
    state, total = seed + 1, 0.0
    for _ in range(1000):
        state = (1103515245 * state + 12345) % 2**31
        total += rate * state / 2**31
    return total / 1000


if __name__ == "__main__":
    rates, seeds = (0.1, 0.5, 0.9), range(4)
    grid = list(product(rates, seeds))
    results = Parallel(n_jobs=2)(delayed(simulate)(rate, seed) for rate, seed in grid)
    for rate in rates:
        mine = [result for (r, _), result in zip(grid, results, strict=True) if r == rate]
        print(f"{rate}: {sum(mine) / len(mine):.4f}")
