"""The user's code that a library holds and calls by itself counts for the steps that import it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import Project

LIBRARY = """
    REGISTRY, HOOKS = {}, []
    def register(name, function=None):
        def keep(function):
            REGISTRY[name] = function
            return function
        return keep if function is None else keep(function)
    class Base:
        known = {}
        def __init_subclass__(cls): Base.known[cls.__name__] = cls
    class Meta(type):
        made = []
        def __init__(cls, *rest): Meta.made.append(cls)
    class Frame:
        pass
    class Entry:
        def __init__(self, held): self.held = held
    class App:
        routes = []
        def route(self, function):
            App.routes.append(Entry(function))
            return function
    app = App()
    def accessor(cls):
        Frame.own = Entry(cls)
        return cls
    def call(name, x): return REGISTRY[name](x)
    def wraps(function): return function
    """
OWN = """
    import lib
    @lib.register("decorated")
    def decorated(x): return x * 1
    def given(x): return x * 1
    _ = lib.register("given", given)
    def stated(x): return x * 1
    lib.register("stated", stated)
    class Derived(lib.Base):
        def go(self, x): return x * 1
    class Made(metaclass=lib.Meta):
        def go(self, x): return x * 1
    @lib.accessor
    class Accessor:
        def go(self, x): return x * 1
    @lib.app.route
    def routed(x): return x * 1
    lib.HOOKS.extend([lambda x: x * 1])
    @lib.wraps
    def unused(x): return x + 1
    """
CALLS = {
    "decorated": "lib.call('decorated', x)",
    "given": "lib.call('given', x)",
    "stated": "lib.call('stated', x)",
    "derived": "lib.Base.known['Derived']().go(x)",
    "made": "lib.Meta.made[-1]().go(x)",
    "accessor": "lib.Frame.own.held().go(x)",
    "routed": "lib.App.routes[0].held(x)",
    "hook": "lib.HOOKS[0](x)",
}


def test_an_edit_of_what_a_library_holds_is_seen(project: Project) -> None:
    packages = "env/lib/python3.11/site-packages"
    steps = "".join(f"@step\ndef {name}(x):\n    return {call}\n" for name, call in CALLS.items())
    project.write(
        {
            f"{packages}/lib/__init__.py": LIBRARY,
            f"{packages}/lib-1.0.dist-info/METADATA": "Name: lib\nVersion: 1.0\n",
            f"{packages}/lib-1.0.dist-info/RECORD": "lib/__init__.py,,\n",
            "own.py": OWN,
        }
    )
    calls = ", ".join(f"{name}(3)" for name in CALLS)
    text = f"import lib, own\nfrom jpipe import pipeline, step\n{steps}@pipeline\ndef main():\n    return [{calls}]\n"
    project.write(text)
    env = {"PYTHONPATH": os.pathsep.join([str(project.root / packages), os.environ.get("PYTHONPATH", "")])}
    assert project.run(env=env).counts == (len(CALLS), 0)
    project.edit("own.py", "return x + 1", "return x + 2")  # the library keeps nothing of it
    assert project.run(env=env).ran == {}
    project.write({"own.py": OWN.replace("x + 1", "x + 2").replace("x * 1", "x * 1  # as before")})
    assert project.run(env=env).ran == {}
    project.write({"own.py": OWN.replace("x * 1", "x * 5")})
    result = project.run(env=env)
    assert set(CALLS) - set(result.ran) == set()
