import sys
from collections.abc import Iterable, Iterator

import numpy as np
import pydantic
from exca import MapInfra, TaskInfra


class Work(pydantic.BaseModel):
    n: int
    load_infra: TaskInfra = TaskInfra(version="1")
    scale_infra: TaskInfra = TaskInfra(version="1")
    block_infra: MapInfra = MapInfra(version="1")
    total_infra: TaskInfra = TaskInfra(version="1")

    @load_infra.apply
    def load(self) -> np.ndarray:
        return np.arange(self.n) % 1000.0

    @scale_infra.apply
    def scale(self) -> np.ndarray:
        return self.load() * 2

    @block_infra.apply(item_uid=str, cache_type="MemmapArrayFile")
    def block(self, items: Iterable[int]) -> Iterator[np.ndarray]:
        x = self.scale()
        for b in items:
            start = b * len(x) // 16
            yield x[start : start + len(x) // 4] * (b + 1)

    @total_infra.apply
    def total(self) -> float:
        return 0 + sum(float(one.sum()) for one in self.block(range(8)))


def main() -> None:
    given = dict(word.split("=") for word in sys.argv[1:])
    here, pool = {"folder": "results"}, {"folder": "results", "cluster": "processpool", "max_jobs": 2}
    work = Work(n=int(given["n"]), load_infra=here, scale_infra=here, block_infra=pool, total_infra=here)
    work.scale()
    print(f'{{"answer": {work.total()}}}')
