"""What pathos' tests of its maps ask for: the results of the builtin map, for what does not pickle too."""

from __future__ import annotations

import time
from functools import partial

import pytest

from jpipe.parallel import p_imap, p_map, p_uimap, t_map

NUMBERS = range(18)

ordered = pytest.mark.parametrize(
    "mapping",
    [
        pytest.param(partial(p_map, num_cpus=2, disable=True), id="map"),
        pytest.param(partial(p_imap, num_cpus=2, disable=True), id="imap"),
        pytest.param(partial(t_map, disable=True), id="serial"),
        pytest.param(partial(p_map, num_cpus=1, disable=True), id="map of one worker"),
    ],
)
unordered = partial(p_uimap, num_cpus=2, disable=True)


def add_slowly(first, second, delay=0.01):
    for number in range(first):
        first += number
    for number in range(second):
        second -= number
    time.sleep(delay)
    return first + second


def squared(number):
    return number**2


def polynomial(a=1, b=1, c=0):
    """A nested function with captured values, which plain pickle refuses."""

    def value(x):
        return a * x**2 + b * x + c

    return value


@ordered
def test_equals_the_builtin_map(mapping):
    assert list(mapping(squared, NUMBERS)) == list(map(squared, NUMBERS))
    assert list(mapping(add_slowly, NUMBERS, NUMBERS)) == list(map(add_slowly, NUMBERS, NUMBERS))


@ordered
def test_three_iterables_of_which_one_gives_the_delay(mapping):
    xs = range(-2, 2, 2)
    expected = list(map(add_slowly, xs, range(2), [0, 0]))
    assert list(mapping(add_slowly, xs, range(2), [0.01, 0.01])) == expected


def test_the_unordered_map_gives_the_same_results():
    assert sorted(unordered(squared, NUMBERS)) == sorted(map(squared, NUMBERS))
    assert sorted(unordered(add_slowly, NUMBERS, NUMBERS)) == sorted(map(add_slowly, NUMBERS, NUMBERS))


@ordered
def test_nested_functions(mapping):
    double_plus_one = polynomial(2, 0, 1)
    assert list(mapping(double_plus_one, NUMBERS)) == [2 * x**2 + 1 for x in NUMBERS]


def test_the_lazy_map_can_be_taken_little_by_little():
    primes = [112272535095293, 112582705942171, 115280095190773, 115797848077099, 1099726899285419]

    def is_prime(number):
        return number % 2 != 0 and all(number % divisor for divisor in range(3, 20_000, 2))

    answers = p_imap(is_prime, [*primes, 4], num_cpus=2, disable=True)
    assert next(answers) is True
    assert [next(answers) for _ in range(4)] == [True] * 4
    assert list(answers) == [False]


def test_the_keywords_of_a_call_reach_the_function():
    slow = partial(add_slowly, delay=0)
    assert p_map(slow, [3, 4], [1, 2], num_cpus=2, disable=True) == [slow(3, 1), slow(4, 2)]
