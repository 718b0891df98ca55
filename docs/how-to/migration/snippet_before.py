import contextlib

import joblib
from joblib import Parallel, delayed
from tqdm import tqdm


@contextlib.contextmanager
def tqdm_joblib(bar):
    class CountingCallback(joblib.parallel.BatchCompletionCallBack):
        def __call__(self, *args, **kwargs):
            bar.update(n=self.batch_size)
            return super().__call__(*args, **kwargs)

    original = joblib.parallel.BatchCompletionCallBack
    joblib.parallel.BatchCompletionCallBack = CountingCallback
    try:
        yield bar
    finally:
        joblib.parallel.BatchCompletionCallBack = original
        bar.close()


def cube(number):
    return number**3


if __name__ == "__main__":
    with tqdm_joblib(tqdm(desc="cubes", total=200)):
        cubes = Parallel(n_jobs=2)(delayed(cube)(number) for number in range(200))
    print(sum(cubes))
