"""How far does a rumour spread in a karate club? A study of parameters, each simulated many times."""

from random import Random

import networkx as nx
import pandas as pd

from jpipe import pipeline, step


@step
def club() -> nx.Graph:
    """Zachary's karate club: 34 members, 78 friendships; it comes inside networkx."""
    return nx.karate_club_graph()


@step
def simulate(graph: nx.Graph, rate: float, forget: float, seed: int) -> int:
    """How many members have heard the rumour in the end, when one of them starts it."""
    random = Random(seed)
    telling, heard = {0}, {0}
    while telling:
        fresh = {other for member in telling for other in graph[member] if random.random() < rate} - heard
        heard |= fresh
        telling = {member for member in telling if random.random() > forget} | fresh
    return len(heard)


@step
def spread(reached: list[int], rate: float) -> dict[str, float]:
    """What came of one rate."""
    counts = pd.Series(reached)
    return {"rate": rate, "mean": round(counts.mean(), 2), "all": round((counts == 34).mean(), 2)}


@pipeline
def main(rate: float = 0.1, forget: float = 0.4, seeds: int = 50) -> dict[str, float]:
    graph = club()
    return spread([simulate(graph, rate, forget, seed) for seed in range(seeds)], rate)


if __name__ == "__main__":
    print(main())
