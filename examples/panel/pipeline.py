"""What do firms invest for a dollar of their value? Subjects × runs, files in and out: here firms × decades."""

from pathlib import Path

import numpy as np
import pandas as pd

from jpipe import File, pipeline, step

HERE = Path(__file__).parent


@step
def clean(raw: File, folder: str) -> File:
    """The file of one decade of a firm, with a column more; written under the same name to another folder."""
    table = pd.read_csv(raw)
    target = Path(folder, Path(raw).parent.name, Path(raw).name)
    target.parent.mkdir(parents=True, exist_ok=True)
    per_dollar(table).to_csv(target, index=False)
    return File(target)


def per_dollar(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(rate=(table["invest"] / table["value"]).round(4))


@step
def firm(name: str, decades: list[File]) -> dict[str, float | str]:
    """One row of the report, from all files of a firm."""
    years = pd.concat([pd.read_csv(file) for file in decades])
    slope, _ = np.polyfit(years["value"], years["invest"], 1)
    return {"firm": name, "years": len(years), "rate": years["rate"].mean().round(3), "slope": slope.round(3)}


@step
def report(rows: list[dict[str, float | str]], path: str) -> File:
    """All firms as a table, in a file."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).sort_values("rate").to_csv(path, index=False)
    return File(path)


@pipeline
def main(data: str = str(HERE / "data"), out: str = str(HERE / "out")) -> File:
    rows = []
    for folder in sorted(path for path in Path(data).iterdir() if path.is_dir()):
        decades = [clean(File(path), out) for path in sorted(folder.glob("*.csv"))]
        rows.append(firm(folder.name, decades))
    return report(rows, str(Path(out, "report.csv")))


if __name__ == "__main__":
    print(Path(main()).read_text())
