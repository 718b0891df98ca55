"""Who matters most in Les Misérables? Functions of networkx are steps as they are."""

import networkx as nx
import pandas as pd

from jpipe import pipeline, step

novel = step(nx.les_miserables_graph)
degree = step(nx.degree_centrality)
between = step(nx.betweenness_centrality)
pagerank = step(nx.pagerank)
communities = step(nx.community.greedy_modularity_communities)


@step
def ranking(measures: dict[str, dict[str, float]], groups: list[frozenset[str]], top: int) -> pd.DataFrame:
    """One row a person, with the group that they belong to."""
    table = pd.DataFrame(measures)
    table["group"] = [next(number for number, group in enumerate(groups) if name in group) for name in table.index]
    return table.sort_values("pagerank", ascending=False).head(top).round(3)


@pipeline
def main(resolution: float = 1.0, top: int = 8) -> pd.DataFrame:
    graph = novel()
    measures = {"degree": degree(graph), "between": between(graph), "pagerank": pagerank(graph)}
    return ranking(measures, communities(graph, weight="weight", resolution=resolution), top)


if __name__ == "__main__":
    print(main())
