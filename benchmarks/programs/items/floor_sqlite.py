import inspect
import sqlite3
import sys


def square(i: int) -> int:
    return i * i


def other() -> int:
    return 0


def main(start: int, n: int) -> int:
    base = sqlite3.connect("results.db")
    base.execute("CREATE TABLE IF NOT EXISTS done (code, i, value, PRIMARY KEY (code, i)) WITHOUT ROWID")
    code = inspect.getsource(square)
    query = "SELECT i, value FROM done WHERE code = ? AND i BETWEEN ? AND ?"
    known = dict(base.execute(query, (code, start, start + n - 1)))
    new = {i: square(i) for i in range(start, start + n) if i not in known}
    with base:
        base.executemany("INSERT INTO done VALUES (?, ?, ?)", ((code, i, value) for i, value in new.items()))
    return sum(known.values()) + sum(new.values())


if __name__ == "__main__":
    given = dict(word.split("=") for word in sys.argv[1:])
    print(f'{{"answer": {main(int(given["start"]), int(given["n"]))}}}')
