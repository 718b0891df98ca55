from jpipe import pipeline, step


@step
def simulate(rate, seed):
    state, total = seed + 1, 0.0
    for _ in range(1000):
        state = (1103515245 * state + 12345) % 2**31
        total += rate * state / 2**31
    return total / 1000


@step
def mean(rate, results):
    return f"{rate}: {sum(results) / len(results):.4f}"


@pipeline
def main(rates: tuple[float, ...] = (0.1, 0.5, 0.9), seeds: int = 4):
    return [mean(rate, [simulate(rate, seed) for seed in range(seeds)]) for rate in rates]


if __name__ == "__main__":
    print("\n".join(main.run()))
