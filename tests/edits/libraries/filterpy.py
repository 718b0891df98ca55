"""Steps on top of filterpy."""

import numpy as np
from filterpy.common import Q_discrete_white_noise, inv_diagonal
from filterpy.discrete_bayes import normalize, predict, update
from filterpy.gh import GHFilter
from filterpy.kalman import ExtendedKalmanFilter, KalmanFilter, MerweScaledSigmaPoints, UnscentedKalmanFilter
from filterpy.leastsq import LeastSquaresFilter
from filterpy.memory import FadingMemoryFilter
from filterpy.monte_carlo import systematic_resample
from filterpy.stats import gaussian, mul


def _made():
    made = KalmanFilter(dim_x=2, dim_z=1)
    made.F = np.array([[1.0, 1.0], [0.0, 1.0]])
    made.H = np.array([[1.0, 0.0]])
    made.Q = Q_discrete_white_noise(2, 0.1, 0.1)
    return made


def kalman():
    made = _made()
    for z in (1.0, 2.0, 3.1):
        made.predict()
        made.update(z)
    return made.x.ravel().tolist()


def batched():
    means, *_ = _made().batch_filter([1.0, 2.0, 3.0])
    return np.asarray(means).ravel().tolist()


def smoothed():
    made = _made()
    means, covariances, *_ = made.batch_filter([1.0, 2.0, 3.0])
    return made.rts_smoother(means, covariances)[0].ravel().tolist()


def simple():
    made = GHFilter(x=0.0, dx=0.0, dt=1.0, g=0.8, h=0.2)
    return [made.update(z)[0] for z in (1.0, 2.0)]


def faded():
    made = FadingMemoryFilter(np.array([0.0, 0.0]), 1.0, 1, 0.8)
    made.update(1.0)
    return made.x.tolist()


def least():
    made = LeastSquaresFilter(1.0, 1)
    return [np.asarray(made.update(z)).tolist() for z in (1.0, 2.0, 3.0)]


def bayes():
    return update(normalize(np.array([1.0, 2.0])), np.array([0.1, 0.9])).tolist(), predict(
        np.array([0.0, 1.0, 0.0]), 1, np.array([0.1, 0.8, 0.1])
    ).tolist()


def unscented():
    points = MerweScaledSigmaPoints(2, 0.1, 2.0, 1.0)
    made = UnscentedKalmanFilter(2, 1, 1.0, lambda x: x[:1], lambda x, dt: np.array([x[0] + x[1], x[1]]), points)
    made.predict()
    made.update(1.0)
    return np.round(made.x, 6).tolist()


def extended():
    made = ExtendedKalmanFilter(2, 1)
    made.predict()
    made.update(np.array([[1.0]]), lambda x: np.array([[1.0, 0.0]]), lambda x: x[:1])
    return made.x.ravel().tolist()


def densities():
    return gaussian(1.0, 0.0, 2.0), mul(1.0, 2.0, 3.0, 4.0)


def various():
    return inv_diagonal(np.diag([2.0, 4.0])).tolist(), sorted(systematic_resample([1.0, 0.0]).tolist())
