"""Steps on top of sortedcontainers."""

from sortedcontainers import SortedDict, SortedKeyList, SortedList, SortedSet


def listed():
    found = SortedList([3, 1, 2])
    found.add(0)
    return list(found), found.index(2)


def removed():
    found = SortedList(range(10))
    found.remove(4)
    del found[0]
    return list(found), found.pop()


def ranged():
    return list(SortedList(range(10)).irange(3, 6)), SortedList("abc").bisect_left("b")


def keyed():
    found = SortedKeyList(["bbb", "a", "cc"], key=len)
    found.update(["dddd"])
    return list(found), found.bisect_key(2)


def mapped():
    found = SortedDict({"b": 2, "a": 1})
    found["c"] = 3
    return list(found.items()), found.peekitem(0)


def popped():
    found = SortedDict(zip("abc", range(3)))
    return found.pop("a"), found.popitem(), found.setdefault("z", 9), list(found)


def viewed():
    found = SortedDict(zip("abc", range(3)))
    return list(found.keys()), list(found.values())[-1], found.keys()[0]


def united():
    return list(SortedSet([3, 1]) | SortedSet([2])), list(SortedSet("abc") & SortedSet("bcd"))


def discarded():
    found = SortedSet(range(5))
    found.discard(2)
    return list(found), found[0], len(found)


def shown():
    return repr(SortedList([1])), repr(SortedSet([1])), repr(SortedDict({1: 2}))


def compared():
    return SortedList([1, 2]) < SortedList([1, 3]), SortedSet([1]) == {1}


def added():
    return list(SortedList([1, 2]) + SortedList([0])), list(SortedList([1]) * 3), SortedList([1, 1]).count(1)
