"""What pickled objects mean: which are tensors, arrays and modules, and a description of the rest.

Takes what `reader` wrote down (`Call`, `Global`, ...) and gives a tree of plain Python
values, in which every tensor is a `TensorInfo` and every object of an unknown class is `Opaque`.
One foreign object never hides the tensors beside it or inside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from rtdetr_nb.checkpoint.reading.paths import join_path
from rtdetr_nb.checkpoint.reading.pickle.call_parts import (
    DICTS,
    RECONSTRUCTOR,
    SEQUENCES,
    attributes_of,
    class_of,
    collected,
    dict_entries,
    elements_in,
    module_fields,
)
from rtdetr_nb.checkpoint.reading.pickle.numpy_objects import (
    read_array,
)
from rtdetr_nb.checkpoint.reading.pickle.plain_calls import read_plain
from rtdetr_nb.checkpoint.reading.pickle.records import Call, Global, IdentityKey, PersistentId
from rtdetr_nb.checkpoint.reading.pickle.special_tensors import read_special
from rtdetr_nb.checkpoint.reading.pickle.torch_objects import REBUILDERS, read_tensor
from rtdetr_nb.checkpoint.reading.pickle.tree_budget import TreeBudget
from rtdetr_nb.checkpoint.reading.storage import FindStorage, MakeStorage, Span
from rtdetr_nb.checkpoint.reading.tensor_info import ModuleInfo, Opaque, TensorInfo
from rtdetr_nb.errors import CheckpointError

MAXIMUM_DEPTH = 100
"""Levels of nesting that are described; what lies deeper is named but not described."""
LONGEST_PATH = 2_000
"""Characters of a dotted path that is described further."""
REPEATED_SIZE = 1_000
"""Entries of a part without tensors that is described once and only referred to after that."""

_TUPLES = frozenset({"builtins.tuple", "torch.Size"})
_UNFINISHED = Opaque("unfinished")
"""Stands for a part while it is described, which it meets again if it holds itself."""
_SCALARS = frozenset({str, int, float, bool, bytes, type(None)})


class _Part(NamedTuple):
    """A part that was described, and may be used in several places."""

    result: object
    path: str
    """Where it stands first."""
    size: int = 1
    """Number of its entries."""
    has_tensors: bool = False
    modules: range = range(0)
    """The modules in it, by their place in the list of all modules."""


class TreeBuilder:
    """Turns the description of one pickle into the tree of a checkpoint.

    Args:
        find_storage: Gives the storage that a torch persistent id refers to; None if the
            container has no storages.
        make_storage: Gives the storage of a long payload inside the pickle.
        big_endian: Byte order of the torch tensors.
    """

    def __init__(
        self,
        find_storage: FindStorage | None,
        make_storage: MakeStorage,
        big_endian: bool = False,
    ) -> None:
        self.modules: dict[str, ModuleInfo] = {}
        self._find_storage = find_storage
        self._make_storage = make_storage
        self._big_endian = big_endian
        self._known: dict[int, _Part] = {}
        """What was described already, by id of the node."""
        self._found: list[ModuleInfo] = []
        self._budget = TreeBudget()
        self._spend = self._budget.spend
        self._tensors = 0

    def build(self, node: object, path: str = "", depth: int = 0, kind: str = "tensor") -> object:
        """Describe `node`, which stands at `path`, `depth` levels below the top; see `_describe`.

        Raises:
            CheckpointError: A tensor lies outside of its storage, or shared parts make the whole
                larger than any checkpoint.
        """
        self._spend(1)
        if type(node) in _SCALARS:
            return node
        if (known := self._known.get(id(node))) is not None:
            return self._repeat(known, path)
        if depth > MAXIMUM_DEPTH or len(path) > LONGEST_PATH:
            return Opaque("nested too deeply")
        self._spend(0, len(path))
        self._known[id(node)] = _Part(_UNFINISHED, path)
        entries, tensors, modules = self._budget.spent, self._tensors, len(self._found)
        result = self._describe(node, path, depth, kind)
        self._known[id(node)] = _Part(
            result,
            path,
            self._budget.spent - entries + 1,
            self._tensors > tensors,
            range(modules, len(self._found)),
        )
        return result

    def _repeat(self, part: _Part, path: str) -> object:
        """Use a part at `path` too; only name it if it holds itself or is large without tensors."""
        if part.result is _UNFINISHED or (part.size > REPEATED_SIZE and not part.has_tensors):
            self._spend(0, len(part.path))
            return Opaque(f"the same as {part.path or 'the whole'}")
        self._spend(part.size - 1)
        self._tensors += part.has_tensors
        for index in part.modules:
            self._spend(1, len(path))
            module = self._found[index]
            below = module.key[len(part.path) :]
            self._add_module(replace(module, key=f"{path}{below}" if path else below.lstrip(".")))
        return part.result

    def _add_module(self, module: ModuleInfo) -> None:
        self._found.append(module)
        self.modules[module.key] = module

    def _describe(self, node: object, path: str, depth: int, kind: str) -> object:
        """Describe a node that is not a scalar.

        `kind` is `parameter` or `buffer` where the parent is a module and says so.
        """
        if type(node) is dict:
            return self._entries_of(node, path, depth)
        if isinstance(node, (list, tuple)):
            elements = self._elements_of(node, path, depth)
            return elements if isinstance(node, list) else tuple(elements)
        if type(node) is Call:
            return self._describe_call(node, path, depth, kind)
        if type(node) is Global:
            return self._name_only(node)
        if type(node) is PersistentId:
            return self._describe_reference(node, path, depth)
        if type(node) is Span:
            return Opaque("long text" if node.is_text else "long bytes", (node.size,))
        return Opaque(type(node).__name__)

    def _elements_of(self, node: Sequence[object], path: str, depth: int) -> list[object]:
        if _SCALARS.issuperset(map(type, node)):  # a log of numbers may be long
            self._spend(1 + len(node) // 8)
            return list(node)
        return [
            self.build(element, join_path(path, index), depth + 1)
            for index, element in enumerate(node)
        ]

    def _entries_of(
        self, node: Mapping[object, object], path: str, depth: int, kind: str = "tensor"
    ) -> dict[object, object]:
        entries: dict[object, object] = {}
        for position, (key, value) in enumerate(node.items()):
            if type(key) is IdentityKey:
                label: object = f"key {position}"
                described = self.build(key.value, join_path(path, label), depth + 1)
                value = self.build(value, join_path(path, label), depth + 1)
                entries[label] = (described, value)
            elif type(value) in _SCALARS:
                self._spend(1)
                entries[key] = value
            else:
                entries[key] = self.build(value, join_path(path, key), depth + 1, kind)
        return entries

    def _describe_reference(self, node: PersistentId, path: str, depth: int) -> object:
        value = node.value
        if type(value) is tuple and len(value) == 4 and value[0] == "module":
            return self.build(value[1], path, depth + 1)
        if type(value) is tuple and len(value) > 1 and type(value[1]) is Global:
            return self._name_only(value[1])
        if type(value) is not str:
            return Opaque("a reference")
        raise CheckpointError(
            "It was saved with pickle protocol 0, which loses where the values of the tensors are, "
            "so that torch cannot load it either. Save it again with another protocol."
        )

    def _name_only(self, node: Global) -> Opaque:
        self._spend(0, len(node.path))
        return Opaque(node.path)

    def _describe_call(self, call: Call, path: str, depth: int, kind: str) -> object:
        function, arguments = class_of(call), call.arguments
        if type(function) is not Global or type(arguments) is not tuple:
            return self._opaque(call, path, depth)
        name = function.path
        if name in REBUILDERS and self._find_storage is not None:
            tensor = read_tensor(call, path, kind, self._find_storage, self._big_endian)
            if tensor is not None:
                self._tensors += 1
                return tensor
        array = read_array(call, path, kind, self._make_storage)
        if array is not None:
            self._tensors += 1
            return array
        if name in DICTS:
            return self._entries_of(dict_entries(call), path, depth)
        if name in SEQUENCES:
            return self._describe(collected(call), path, depth, kind)
        if name in _TUPLES and len(arguments) == 1 and not call.items:
            return self._describe_tuple(elements_in(arguments[0]), path, depth)
        if name == RECONSTRUCTOR and arguments and type(arguments[0]) is Global:
            function = arguments[0]
        fields = module_fields(call.state)
        if fields is not None and type(function) is Global:
            return self._describe_module(function, fields, call.state, path, depth)
        special = read_special(call, path, kind, lambda part: self.build(part, path, depth + 1))
        if special is not None:
            self._tensors += 1
            return special
        plain = read_plain(name, arguments, self._spend)
        return self._opaque(call, path, depth) if plain is None else plain

    def _describe_tuple(self, elements: tuple[object, ...], path: str, depth: int) -> object:
        if len(elements) == 2 and type(elements[0]) is str and type(elements[1]) is Call:
            # paddle.save puts a tensor inside of a nested dict as `tuple((name, array))`.
            array = self.build(elements[1], path, depth + 1)
            if isinstance(array, TensorInfo):
                return array
        return self._describe(elements, path, depth, "tensor")

    def _describe_module(
        self,
        function: Global,
        fields: tuple[Mapping[object, object], ...],
        state: object,
        path: str,
        depth: int,
    ) -> object:
        """A pickled nn.Module as the nested dict of its tensors, with the names of its state dict.

        Buffers that the module itself would not save are left out.
        """
        parameters, buffers, children = fields
        assert type(state) is dict
        self._spend(len(buffers))
        passing = self._names(state.get("_non_persistent_buffers_set"))
        kept = {name: value for name, value in buffers.items() if name not in passing}
        tensors = {
            **self._entries_of(parameters, path, depth, "parameter"),
            **self._entries_of(kept, path, depth, "buffer"),
            **self._entries_of(children, path, depth),
        }
        attributes = {
            key: self.build(value, join_path(path, key), depth + 1)
            for key, value in state.items()
            if type(key) is str and not key.startswith("_")
        }
        self._add_module(ModuleInfo(path, function.path, attributes))
        return tensors

    def _names(self, value: object) -> frozenset[str]:
        """The texts in a set, however the pickle spells the set."""
        elements = collected(value) if type(value) is Call else []
        self._spend(len(elements))
        return frozenset(element for element in elements if type(element) is str)

    def _opaque(self, call: Call, path: str, depth: int) -> Opaque:
        function = class_of(call)
        name = function.path if type(function) is Global else "the result of a call"
        self._spend(0, len(name))
        arguments = call.arguments if type(call.arguments) is tuple else (call.arguments,)
        if name == RECONSTRUCTOR and arguments and type(arguments[0]) is Global:
            name, arguments = arguments[0].path, arguments[2:]
        described = self._entries_of(attributes_of(call.state), path, depth)
        return Opaque(
            name,
            tuple(self._elements_of(arguments, path, depth)),
            {str(key): value for key, value in described.items()},
            self._entries_of(call.items, path, depth) if call.items else {},
            tuple(self._elements_of(call.elements or (), path, depth)),
        )
