import sys
from collections.abc import Iterable, Iterator

import pydantic
from exca import MapInfra


class Chain(pydantic.BaseModel):
    infra: MapInfra = MapInfra(version="1")

    @infra.apply(item_uid=str)
    def plus_one(self, items: Iterable[int]) -> Iterator[int]:
        for x in items:
            yield x + 1


if __name__ == "__main__":
    given = dict(word.split("=") for word in sys.argv[1:])
    chain = Chain(infra={"folder": "results"})
    x = 0
    for _ in range(int(given["n"])):
        (x,) = chain.plus_one([x])
    print(f'{{"answer": {x}}}')
