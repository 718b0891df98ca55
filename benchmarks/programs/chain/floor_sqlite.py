import inspect
import sqlite3
import sys


def plus_one(x: int) -> int:
    return x + 1


def main(n: int) -> int:
    base = sqlite3.connect("results.db")
    base.execute("CREATE TABLE IF NOT EXISTS done (code, x, value, PRIMARY KEY (code, x)) WITHOUT ROWID")
    code, x = inspect.getsource(plus_one), 0
    with base:
        for _ in range(n):
            row = base.execute("SELECT value FROM done WHERE code = ? AND x = ?", (code, x)).fetchone()
            value = plus_one(x) if row is None else row[0]
            if row is None:
                base.execute("INSERT INTO done VALUES (?, ?, ?)", (code, x, value))
            x = value
    return x


if __name__ == "__main__":
    given = dict(word.split("=") for word in sys.argv[1:])
    print(f'{{"answer": {main(int(given["n"]))}}}')
