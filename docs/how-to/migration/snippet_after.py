from joblib import Parallel, delayed

from jpipe.parallel import tqdm_joblib


def cube(number):
    return number**3


if __name__ == "__main__":
    with tqdm_joblib(desc="cubes", total=200):
        cubes = Parallel(n_jobs=2)(delayed(cube)(number) for number in range(200))
    print(sum(cubes))
