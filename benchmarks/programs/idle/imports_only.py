import matplotlib.pyplot
import pandas
import sklearn.datasets

print(f'{{"answer": {len({matplotlib.pyplot.__name__, pandas.__name__, sklearn.datasets.__name__})}}}')
