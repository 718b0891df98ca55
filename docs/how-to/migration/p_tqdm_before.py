from p_tqdm import p_map, p_uimap


def area(width, height):
    return width * height


if __name__ == "__main__":
    print(p_map(area, [1, 2, 3], [10, 20, 30], num_cpus=2, desc="areas"))
    print(sum(p_uimap(lambda number: number * number, range(100), num_cpus=1.0)))
