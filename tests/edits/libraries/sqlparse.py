"""Steps on top of sqlparse."""

import sqlparse

QUERY = "select a, b as c from t where x = 1 and y in (select z from u) order by a; insert into t values (1)"


def split():
    return sqlparse.split(QUERY)


def upper():
    return sqlparse.format(QUERY, keyword_case="upper")


def indented():
    return sqlparse.format(QUERY, reindent=True)


def aligned():
    return sqlparse.format(QUERY, reindent_aligned=True)


def without_comments():
    return sqlparse.format("select 1 -- one\n/* two */ from t", strip_comments=True)


def tokens():
    return [str(token.ttype) for token in sqlparse.parse(QUERY)[0].flatten()]


def kinds():
    return [statement.get_type() for statement in sqlparse.parse(QUERY)]


def names():
    statement = sqlparse.parse("select a.b as c from d.e f")[0]
    return [(t.get_real_name(), t.get_alias()) for t in statement.tokens if t.is_group]


def compared():
    found = sqlparse.parse("select 1 where a >= 2")[0]
    return [type(token).__name__ for token in found.tokens]


def spaced():
    return sqlparse.format("select  a=1,b  from  t", use_space_around_operators=True, strip_whitespace=True)


def truncated():
    return sqlparse.format("select 'a long text'", truncate_strings=4)


def python():
    return sqlparse.format("select 1 from t", output_format="python")
