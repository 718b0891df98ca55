"""Steps on top of toolz."""

import toolz
from toolz import curried, pipe


def groups():
    return toolz.groupby(len, ["a", "bb", "cc"]), toolz.countby(len, ["a", "bb"])


def frequencies():
    return toolz.frequencies("abbccc")


def merged():
    return toolz.merge({1: 2}, {3: 4}), toolz.merge_with(sum, {1: 2}, {1: 3})


def piped():
    return pipe([3, 1, 2], sorted, curried.map(lambda x: x + 1), list)


def nested():
    return toolz.get_in(["a", 0, "b"], {"a": [{"b": 5}]}), toolz.assoc_in({}, ["a", "b"], 1)


def partitions():
    return list(toolz.partition_all(2, [1, 2, 3])), list(toolz.sliding_window(2, [1, 2, 3]))


def composed():
    return toolz.compose(str, abs)(-3), toolz.juxt(min, max)([1, 2, 3])


def memoised():
    seen = []
    square = toolz.memoize(lambda x: seen.append(x) or x * x)
    return square(3), square(3), seen


def joined():
    return list(toolz.join(0, [(1, "a")], 0, [(1, "b")]))


def folded():
    add = toolz.curry(lambda a, b: a + b)
    return toolz.reduceby(lambda x: x % 2, add, range(6), 0), add(1)(2)


def kept():
    return toolz.valmap(len, {"a": "xyz"}), toolz.keyfilter(str.isupper, {"A": 1, "b": 2})


def firsts():
    return toolz.first("abc"), toolz.nth(1, "abc"), list(toolz.take(2, "abc")), list(toolz.unique("aab"))
