"""Steps on top of arrow."""

import arrow


def parsed():
    return arrow.get("2024-05-06T07:08:09+02:00").isoformat()


def shifted():
    return str(arrow.get(2024, 1, 31).shift(months=1, days=-2))


def shown():
    return arrow.get(2024, 5, 6, 7).format("dddd D MMMM YYYY, HH:mm ZZ")


def humanised():
    return arrow.get(2024, 5, 6).humanize(arrow.get(2024, 5, 8)), arrow.get(2024, 5, 6).humanize(
        arrow.get(2024, 5, 1), locale="de"
    )


def ranged():
    return [str(a) for a in arrow.Arrow.range("day", arrow.get(2024, 1, 1), arrow.get(2024, 1, 3))]


def spanned():
    return [str(a) for a in arrow.get(2024, 5, 6, 7).span("month")]


def floored():
    return str(arrow.get(2024, 5, 6, 7, 8).floor("hour")), str(arrow.get(2024, 5, 6).ceil("year"))


def zoned():
    return str(arrow.get(2024, 5, 6, tzinfo="Europe/Berlin").to("UTC"))


def patterned():
    return str(arrow.get("6 May 2024", "D MMMM YYYY"))


def compared():
    one, other = arrow.get(2024, 1, 1), arrow.get(2024, 1, 2)
    return one < other, (other - one).days, max(one, other).day


def unparsed():
    try:
        arrow.get("no date")
    except arrow.ParserError as error:
        return str(error)[:30]


def dehumanised():
    return str(arrow.get(2024, 5, 6).dehumanize("in 2 hours"))
