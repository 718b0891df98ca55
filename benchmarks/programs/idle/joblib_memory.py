import matplotlib.pyplot as plt
import pandas as pd
from joblib import Memory
from sklearn.datasets import load_digits

memory = Memory("results", verbose=0)


@memory.cache
def table() -> pd.DataFrame:
    plt.close("all")
    return pd.DataFrame(load_digits().data)


if __name__ == "__main__":
    print(f'{{"answer": {len(table())}}}')
