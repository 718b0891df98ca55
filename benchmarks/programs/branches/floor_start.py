from joblib import Parallel, delayed

if __name__ == "__main__":
    print(f'{{"answer": {sum(Parallel(n_jobs=2)(delayed(abs)(x) for x in (-5, 5)))}}}')
