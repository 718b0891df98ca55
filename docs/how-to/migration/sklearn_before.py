import warnings

from joblib import Memory
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.svm import SVC

if __name__ == "__main__":
    warnings.filterwarnings("ignore", message="Persisting input arguments")
    X, y = load_iris(return_X_y=True)
    model = Pipeline([("project", PCA(random_state=0)), ("fit", SVC())], memory=Memory("joblib-cache", verbose=0))
    search = GridSearchCV(model, {"project__n_components": [2, 3], "fit__C": [0.1, 1.0, 10.0]}, cv=3)
    print(search.fit(X, y).best_params_)
