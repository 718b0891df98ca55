"""Questions to a database, each in a file of its own: SQLite, asked in parallel."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from statsmodels.datasets import fair

from jpipe import File, pipeline, step

HERE = Path(__file__).parent


@step
def database(path: str) -> File:
    """Fair's survey of 6,366 marriages (1974), which comes inside statsmodels, as a table `answer`."""
    Path(path).unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        fair.load_pandas().data.to_sql("answer", connection, index=False)
    return File(path)


@step
def ask(survey: File, question: str) -> pd.DataFrame:
    """What the query in a file gives."""
    with closing(sqlite3.connect(survey)) as connection:
        return pd.read_sql_query(Path(question).read_text("utf-8"), connection)


@step
def figure(answers: list[pd.DataFrame], path: str) -> File:
    picture = Figure(figsize=(8, 3), layout="constrained")
    for axes, answer in zip(picture.subplots(1, len(answers)), answers, strict=True):
        answer.plot.bar(
            x=answer.columns[0], y=answer.columns[1], ax=axes, legend=False, ylabel=answer.columns[1], rot=0
        )
    picture.savefig(path)
    return File(path)


@pipeline
def main(
    path: str = str(HERE / "survey.db"), questions: str = str(HERE / "sql"), picture: str = str(HERE / "figure.svg")
) -> tuple[list[pd.DataFrame], File]:
    survey = database(path)
    answers = [ask(survey, str(question)) for question in sorted(Path(questions).glob("*.sql"))]
    return answers, figure(answers, picture)


if __name__ == "__main__":
    print(*main()[0], sep="\n")
