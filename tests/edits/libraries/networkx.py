"""Steps on top of networkx."""

import networkx as nx


def shortest():
    return nx.shortest_path(nx.path_graph(5), 0, 4)


def weighted():
    graph = nx.Graph()
    graph.add_weighted_edges_from([(1, 2, 1.0), (2, 3, 2.0), (1, 3, 5.0)])
    return nx.dijkstra_path(graph, 1, 3), nx.dijkstra_path_length(graph, 1, 3)


def parts():
    return sorted(map(sorted, nx.connected_components(nx.Graph([(1, 2), (3, 4)]))))


def ordered():
    return list(nx.topological_sort(nx.DiGraph([(1, 2), (2, 3), (1, 3)])))


def ranked():
    return {node: round(rank, 4) for node, rank in nx.degree_centrality(nx.star_graph(3)).items()}


def spanned():
    return sorted(nx.minimum_spanning_edges(nx.Graph([(1, 2, {"weight": 3}), (2, 3, {"weight": 1})]), data=False))


def cliques():
    return sorted(map(sorted, nx.find_cliques(nx.complete_graph(3))))


def flows():
    graph = nx.DiGraph()
    graph.add_edge("s", "a", capacity=3.0)
    graph.add_edge("a", "t", capacity=2.0)
    return nx.maximum_flow_value(graph, "s", "t")


def coloured():
    return nx.greedy_color(nx.cycle_graph(4))


def between():
    return nx.betweenness_centrality(nx.path_graph(4))


def trees():
    return nx.is_tree(nx.path_graph(3)), sorted(nx.bfs_tree(nx.path_graph(3), 0).edges)


def told():
    return str(nx.Graph([(1, 2)])), nx.density(nx.complete_graph(4)), nx.diameter(nx.path_graph(4))
