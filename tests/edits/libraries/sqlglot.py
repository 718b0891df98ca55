"""Steps on top of sqlglot."""

import sqlglot
from sqlglot import exp, parse_one
from sqlglot.optimizer import optimize
from sqlglot.optimizer.simplify import simplify

QUERY = "SELECT a, SUM(b) AS total FROM t WHERE c > 1 GROUP BY a"


def printed():
    return parse_one(QUERY).sql(pretty=True)


def translated():
    return sqlglot.transpile("SELECT DATE_ADD(d, 1), x::INT FROM t", read="duckdb", write="spark")


def columns():
    return sorted(column.name for column in parse_one(QUERY).find_all(exp.Column))


def built():
    return exp.select("x").from_("t").where("y > 1").limit(3).sql()


def simplified():
    return simplify(parse_one("SELECT 1 + 2 WHERE TRUE AND x = 1")).sql()


def optimised():
    return optimize(parse_one("SELECT a FROM t"), schema={"t": {"a": "INT"}}).sql()


def failing():
    try:
        parse_one("SELECT FROM WHERE")
    except sqlglot.ParseError as error:
        return str(error)[:40]


def tokens():
    return [token.token_type.name for token in sqlglot.tokenize("SELECT 'a', 1.5")]


def changed():
    tree = parse_one("SELECT a FROM t")
    return tree.transform(lambda node: exp.column("z") if isinstance(node, exp.Column) else node).sql()


def mysql():
    return parse_one("SELECT `a` FROM t LIMIT 1, 2", read="mysql").sql(dialect="postgres")


def joined():
    return parse_one("SELECT * FROM a JOIN b USING (x) LEFT JOIN c ON a.y = c.y").sql()


def differing():
    return len(sqlglot.diff(parse_one("SELECT a"), parse_one("SELECT b")))
