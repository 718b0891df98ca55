import sys

from joblib import Memory, Parallel, delayed

memory = Memory("results", verbose=0)


@memory.cache
def square(i: int) -> int:
    return i * i


if __name__ == "__main__":
    given = {name: int(value) for name, value in (word.split("=") for word in sys.argv[1:])}
    n = given["n"]
    values = Parallel(n_jobs=given.get("jobs", 2))(delayed(square)(i) for i in range(n))
    print(f'{{"answer": {sum(values)}}}')
