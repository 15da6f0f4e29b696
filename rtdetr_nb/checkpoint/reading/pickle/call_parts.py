"""The parts of a call that a pickle would make: its class, its elements, the state it would set."""

from __future__ import annotations

from collections.abc import Mapping

from rtdetr_nb.checkpoint.reading.pickle.records import Call, Global, IdentityKey, PersistentId

DICTS = frozenset({"collections.OrderedDict", "collections.defaultdict", "collections.Counter"})
"""Subclasses of dict that are described as plain dicts."""
SEQUENCES = frozenset({
    "builtins.set", "builtins.frozenset", "builtins.list", "collections.deque",
})  # fmt: skip
"""Lists and what is described like them."""
RECONSTRUCTOR = "copyreg._reconstructor"
"""Makes an object of the class that is its first argument."""
_MODULE_FIELDS = ("_parameters", "_buffers", "_modules")


def class_of(call: Call) -> object:
    """What a call calls.

    Legacy files wrap the classes of modules together with their source code: ("module", class,
    source file, source).
    """
    function = call.function
    if type(function) is PersistentId:
        value = function.value
        if type(value) is tuple and len(value) == 4 and value[0] == "module":
            return value[1]
    return function


def attributes_of(state: object) -> Mapping[object, object]:
    """The attributes that a state would set; under `state` if it gives no names."""
    if state is None:
        return {}
    if type(state) is tuple and len(state) == 2 and type(state[1]) is dict:
        # The attributes in __dict__ and those in __slots__.
        return {**(state[0] if type(state[0]) is dict else {}), **state[1]}
    return state if type(state) is dict else {"state": state}


def elements_in(value: object) -> tuple[object, ...]:
    """The elements of a list or tuple; empty for anything else."""
    return tuple(value) if isinstance(value, (list, tuple)) else ()


def module_fields(state: object) -> tuple[Mapping[object, object], ...] | None:
    """The parameters, buffers and submodules in the state of an nn.Module, else None."""
    if type(state) is not dict or not all(field in state for field in _MODULE_FIELDS):
        return None
    fields = []
    for name in _MODULE_FIELDS:
        value = state[name]
        if type(value) is Call and type(value.function) is Global and value.function.path in DICTS:
            value = value.items or {}
        if type(value) is not dict:
            return None
        fields.append(value)
    return tuple(fields)


def dict_entries(call: Call) -> dict[object, object]:
    """The entries of a subclass of dict; its own attributes (`_metadata`) are left out."""
    arguments = call.arguments if isinstance(call.arguments, tuple) else ()
    merged: dict[object, object] = {}
    first = next((part for part in arguments if type(part) in (dict, list)), None)
    if isinstance(first, dict):
        merged.update(first)
    elif isinstance(first, list):  # OrderedDict([(key, value), ...]) of Python 2
        for pair in first:
            if isinstance(pair, (list, tuple)) and len(pair) == 2:
                key = pair[0] if type(pair[0]) is str else IdentityKey(pair[0])
                merged[key] = pair[1]
    merged.update(call.items or {})
    return merged


def collected(call: Call) -> list[object]:
    """The elements of a list or set: those it is made from, then those added to it."""
    made_from = call.arguments[0] if isinstance(call.arguments, tuple) and call.arguments else ()
    return [*elements_in(made_from), *(call.elements or ())]
