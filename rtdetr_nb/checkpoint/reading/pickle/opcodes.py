"""The table of all opcodes of a pickle: what each does to the machine.

They are plain functions in a table, because the loop over them is nearly all the time that listing
a file takes. Their names are those of `pickletools`, which a test compares: importing it would take
longer than reading a small file.
"""

from __future__ import annotations

from rtdetr_nb.checkpoint.reading.pickle.machine import Handler
from rtdetr_nb.checkpoint.reading.pickle.object_opcodes import OBJECT_OPCODES
from rtdetr_nb.checkpoint.reading.pickle.scalar_opcodes import SCALAR_OPCODES
from rtdetr_nb.checkpoint.reading.pickle.stack_opcodes import STACK_OPCODES

HANDLERS: dict[bytes, Handler] = {**STACK_OPCODES, **SCALAR_OPCODES, **OBJECT_OPCODES}
"""By the byte that stands for the opcode in a stream."""
