import sys

from pipefunc import Pipeline, pipefunc


@pipefunc("y", mapspec="i[k] -> y[k]", cache=True)
def square(i: int) -> int:
    return i * i


def other() -> int:
    return 0


if __name__ == "__main__":
    given = dict(word.split("=") for word in sys.argv[1:])
    start, n = int(given["start"]), int(given["n"])
    line = Pipeline([square], cache_type="disk", cache_kwargs={"cache_dir": "results", "with_lru_cache": False})
    done = line.map({"i": list(range(start, start + n))}, parallel=True, storage="dict", show_progress=False)
    print(f'{{"answer": {sum(int(y) for y in done["y"].output)}}}')
