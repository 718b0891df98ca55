"""Steps on top of jinja2."""

from jinja2 import DictLoader, Environment, StrictUndefined, Template, UndefinedError, nodes


def hello():
    return Template("Hello {{ name }}!").render(name="you")


def looped():
    return Template("{% for x in xs %}{{ loop.index }}{{ x }}{% endfor %}").render(xs="ab")


def filtered():
    return Template("{{ names|map('upper')|join(', ') }} {{ 3.14159|round(2) }}").render(names=["a", "b"])


def inherited():
    pages = {"base": "<{% block body %}{% endblock %}>", "page": "{% extends 'base' %}{% block body %}in{% endblock %}"}
    return Environment(loader=DictLoader(pages)).get_template("page").render()


def strict():
    try:
        return Environment(undefined=StrictUndefined).from_string("{{ gone }}").render()
    except UndefinedError as error:
        return str(error)


def macros():
    return Template("{% macro m(x) %}[{{ x }}]{% endmacro %}{{ m(1) }}{{ m('a') }}").render()


def escaped():
    return Environment(autoescape=True).from_string("{{ x }}{{ x|safe }}").render(x="<b>")


def chosen():
    return Template("{% if x is even %}even{% elif x > 5 %}large{% else %}odd{% endif %}").render(x=7)


def sorted_items():
    return Template("{% for k, v in d|dictsort %}{{ k }}{{ v }}{% endfor %}").render(d={"b": 1, "a": 2})


def parsed():
    tree = Environment().parse("{{ a + b }}{% set c = 1 %}")
    return sorted(node.name for node in tree.find_all(nodes.Name))


def stripped():
    return Environment(trim_blocks=True, lstrip_blocks=True).from_string("  {% if 1 %}\nx\n  {% endif %}\n").render()


def grouped():
    rows = [{"k": 1, "v": "a"}, {"k": 1, "v": "b"}, {"k": 2, "v": "c"}]
    return Template("{% for g in rows|groupby('k') %}{{ g.grouper }}{{ g.list|length }}{% endfor %}").render(rows=rows)
