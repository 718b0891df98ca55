"""When did the Nile change? The steps of the study; what they do stands in the package `nile`."""

import pandas as pd
from nile.change import strongest_change
from nile.readings import volumes

from jpipe import pipeline, step

series = step(volumes)


@step
def change(volume: pd.Series, width: int) -> dict[str, float]:
    year, by = strongest_change(volume, width)
    return {"width": width, "year": year, "by": by}


@step
def table(rows: list[dict[str, float]]) -> pd.DataFrame:
    return pd.DataFrame(rows)


@pipeline
def main(widths: tuple[int, ...] = (5, 10, 20, 30)) -> pd.DataFrame:
    volume = series()
    return table([change(volume, width) for width in widths])


if __name__ == "__main__":
    print(main())
