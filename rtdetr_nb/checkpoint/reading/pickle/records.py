"""What the pickle reader writes down instead of classes, calls and references: inert records."""

from __future__ import annotations

_PYTHON2_MODULES = {"__builtin__": "builtins", "copy_reg": "copyreg"}


class Global:
    """A class or function that the pickle names: two strings, never looked up."""

    __slots__ = ("_path", "module", "name")

    def __init__(self, module: str, name: str) -> None:
        self.module = module
        self.name = name
        self._path: str | None = None

    @property
    def path(self) -> str:
        """Both joined, e.g. `torch._utils._rebuild_tensor_v2`.

        Protocols before 3 spell `builtins` as Python 2 did; here it has its present name.
        """
        if self._path is None:
            self._path = f"{_PYTHON2_MODULES.get(self.module, self.module)}.{self.name}"
        return self._path

    def __repr__(self) -> str:
        return f"Global({self.path})"


class Call:
    """What the pickle would call, and what it would do to the result. It was not called.

    Attributes:
        function: What would be called, as a rule a `Global`.
        arguments: With what.
        keywords: With what keyword arguments, or None without any.
        state: What would become the state of the result (`__setstate__` or `__dict__`).
        items: What would be set in it as in a dict; None for nothing.
        elements: What would be appended or added to it; None for nothing.
    """

    __slots__ = ("arguments", "elements", "function", "items", "keywords", "state")

    def __init__(self, function: object, arguments: object, keywords: object = None) -> None:
        self.function = function
        self.arguments = arguments
        self.keywords = keywords
        self.state: object = None
        self.items: dict[object, object] | None = None
        self.elements: list[object] | None = None

    def __repr__(self) -> str:
        return f"Call({self.function!r})"


class PersistentId:
    """A reference to something outside of the pickle; torch's are references to storages."""

    __slots__ = ("value",)

    def __init__(self, value: object) -> None:
        self.value = value


class IdentityKey:
    """A key of a dict that is not a plain scalar.

    It compares by identity: hashing a crafted tuple can take forever, and equal keys of that kind
    do not occur in checkpoints.
    """

    __slots__ = ("value",)

    def __init__(self, value: object) -> None:
        self.value = value


SET = Global("builtins", "set")
FROZEN_SET = Global("builtins", "frozenset")
