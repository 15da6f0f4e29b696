"""The table of all opcodes of a pickle: what each does to the machine.

They are plain functions in a table, because the loop over them is nearly all the time that listing
a file takes.
"""

from __future__ import annotations

import pickletools

from rtdetr_nb.checkpoint.reading.pickle.machine import Handler
from rtdetr_nb.checkpoint.reading.pickle.object_opcodes import OBJECT_OPCODES
from rtdetr_nb.checkpoint.reading.pickle.scalar_opcodes import SCALAR_OPCODES
from rtdetr_nb.checkpoint.reading.pickle.stack_opcodes import STACK_OPCODES

_BY_NAME = {**STACK_OPCODES, **SCALAR_OPCODES, **OBJECT_OPCODES}

HANDLERS: dict[bytes, Handler] = {
    opcode.code.encode("latin-1"): _BY_NAME[opcode.name]
    for opcode in pickletools.opcodes
    if opcode.name in _BY_NAME
}
"""By the byte that stands for the opcode in a stream."""
