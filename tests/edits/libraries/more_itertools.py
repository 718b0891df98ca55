"""Steps on top of more_itertools."""

import more_itertools as mi
from more_itertools import chunked, windowed


def chunks():
    return [list(part) for part in chunked(range(10), 3)]


def windows():
    return list(windowed([1, 2, 3, 4, 5], 3, step=2))


def flat():
    return list(mi.flatten([[1, 2], [3]])), list(mi.collapse([[1, [2]], "ab", 3]))


def peeks():
    found = mi.peekable([1, 2, 3])
    return found.peek(), next(found), list(found)


def buckets():
    made = mi.bucket(["a1", "b1", "a2"], key=lambda text: text[0])
    return sorted(made), list(made["a"])


def places():
    return list(mi.locate([0, 1, 1], bool)), mi.first([4, 5]), mi.last([4, 5]), mi.nth([1, 2], 1)


def consecutive():
    return [list(group) for group in mi.consecutive_groups([1, 2, 5, 6, 9])]


def splits():
    return list(mi.split_at("abcdcba", lambda x: x == "b")), list(mi.split_before("OneTwo", str.isupper))


def seeks():
    found = mi.seekable(str(n) for n in range(5))
    next(found), next(found)
    found.seek(0)
    return list(found)


def numbers():
    return list(mi.numeric_range(1.0, 2.0, 0.25)), mi.ilen(range(7)), list(mi.sieve(20))


def only_one():
    try:
        return mi.one([1, 2])
    except ValueError as error:
        return str(error)


def groups():
    return mi.map_reduce("abbccc", keyfunc=str.upper, reducefunc=len), list(mi.run_length.encode("aab"))
