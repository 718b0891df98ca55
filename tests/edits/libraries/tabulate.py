"""Steps on top of tabulate."""

from tabulate import simple_separated_format, tabulate, tabulate_formats

ROWS = [["a", 1, 2.5], ["bb", 20, None]]


def plain():
    return tabulate(ROWS)


def grid():
    return tabulate(ROWS, headers=["x", "y", "z"], tablefmt="grid")


def piped():
    return tabulate(ROWS, headers="firstrow", tablefmt="pipe")


def html():
    return tabulate(ROWS, tablefmt="html")


def latex():
    return tabulate([["a_b", "10%"]], tablefmt="latex")


def dicts():
    return tabulate([{"a": 1}, {"a": 2, "b": 3}], headers="keys")


def aligned():
    return tabulate(ROWS, numalign="left", stralign="right", floatfmt=".3f")


def indexed():
    return tabulate(ROWS, showindex=True, missingval="?")


def separated():
    return tabulate(ROWS, tablefmt=simple_separated_format(";"))


def wide():
    return tabulate([["one two three four", 1]], maxcolwidths=[8, None])


def lines():
    return tabulate([["a\nb", 1]], tablefmt="fancy_grid")


def formats():
    return len(tabulate_formats)
