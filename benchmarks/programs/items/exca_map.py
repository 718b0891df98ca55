import sys
from collections.abc import Iterable, Iterator

import pydantic
from exca import MapInfra


def other() -> int:
    return 0


class Squares(pydantic.BaseModel):
    infra: MapInfra = MapInfra(version="1")

    @infra.apply(item_uid=str)
    def square(self, items: Iterable[int]) -> Iterator[int]:
        for i in items:
            yield i * i


def main() -> None:
    given = dict(word.split("=") for word in sys.argv[1:])
    start, n = int(given["start"]), int(given["n"])
    squares = Squares(infra={"folder": "results", "cluster": "processpool", "max_jobs": 2})
    print(f'{{"answer": {sum(squares.square(range(start, start + n)))}}}')
