"""Writes the files in data/: what eleven American firms invested, a folder a firm, a file a decade.

The data are Grunfeld's (1958), which statsmodels has, and are in the public domain. This has been run already.
"""

from pathlib import Path

from statsmodels.datasets import grunfeld

table = grunfeld.load_pandas().data
for (firm, decade), rows in table.groupby(["firm", table["year"] // 10 * 10]):
    folder = Path(__file__).with_name("data") / firm.lower().replace(" ", "-")
    folder.mkdir(parents=True, exist_ok=True)
    rows[["year", "invest", "value", "capital"]].to_csv(folder / f"{decade:.0f}.csv", index=False)
