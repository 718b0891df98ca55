"""Steps on top of boltons."""

from boltons.cacheutils import LRU
from boltons.dictutils import OMD, FrozenDict
from boltons.fileutils import FilePerms
from boltons.funcutils import wraps
from boltons.iterutils import bucketize, chunked, get_path, remap, windowed
from boltons.listutils import BarrelList
from boltons.mathutils import Bits, clamp
from boltons.queueutils import HeapPriorityQueue
from boltons.setutils import IndexedSet
from boltons.statsutils import Stats
from boltons.strutils import camel2under, cardinalize, parse_int_list, slugify
from boltons.tableutils import Table
from boltons.timeutils import parse_timedelta
from boltons.urlutils import URL


def chunks():
    return chunked([1, 2, 3], 2), windowed("abcd", 2)


def mapped():
    return remap({"a": [1, None], "b": {}}, visit=lambda path, key, value: value is not None)


def paths():
    return get_path({"a": [{"b": 1}]}, ("a", 0, "b")), bucketize(range(5), lambda x: x % 2)


def texts():
    return slugify("Hello, World"), camel2under("CamelCase"), cardinalize("cat", 2), parse_int_list("1-3,5")


def multi():
    found = OMD([("a", 1), ("a", 2), ("b", 3)])
    return found.getlist("a"), list(found.items(multi=True)), FrozenDict({1: 2}).updated({3: 4})


def ordered():
    found = IndexedSet([3, 1, 2])
    return found[0], list(found | [9]), list(BarrelList([3, 1, 2]))


def cached():
    cache = LRU(2)
    cache["a"], cache["b"] = 1, 2
    cache["c"] = 3
    return sorted(cache.items()), cache.hit_count


def queued():
    queue = HeapPriorityQueue()
    queue.add("low", 1), queue.add("high", 9)
    return queue.pop(), len(queue)


def numbers():
    return clamp(5, 1, 3), Bits("1010").as_int(), str(FilePerms("rwx", "r", ""))


def statistics():
    return Stats([1, 2, 3, 10]).median, Stats([1, 2, 3]).mean


def tabled():
    return Table.from_data([{"a": 1, "b": 2}]).to_text()


def addressed():
    url = URL("http://example.com:8080/a/b?x=1#top")
    return url.host, url.port, url.query_params["x"], url.to_text()


def wrapped():
    def plain(a, b=2):
        return a + b

    @wraps(plain)
    def outer(*args, **kwargs):
        return plain(*args, **kwargs) * 10

    return outer(1), outer.__name__, parse_timedelta("1d 2h").total_seconds()
