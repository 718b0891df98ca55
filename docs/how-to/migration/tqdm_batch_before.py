import numpy as np
from tqdm_batch import batch_process


def mean_of_row(row, table, scale=1):
    return scale * float(table[row].mean())


if __name__ == "__main__":
    table = np.arange(1_000_000.0).reshape(1000, 1000)
    means = batch_process(list(range(1000)), mean_of_row, n_workers=2, sep_progress=True, table=table, scale=2)
    print(sum(means))
