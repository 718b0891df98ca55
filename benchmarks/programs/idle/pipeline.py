import matplotlib.pyplot as plt
import pandas as pd
from sklearn.datasets import load_digits

from jpipe import pipeline, step


@step
def table() -> pd.DataFrame:
    plt.close("all")
    return pd.DataFrame(load_digits().data)


@pipeline
def main() -> pd.DataFrame:
    return table()
