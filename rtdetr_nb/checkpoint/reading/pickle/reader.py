"""Reads a pickle without running it: opcodes in, a plain description out.

A pickle is a program. The standard reader runs it, and it may import and call anything. This one
only writes down what the program would do: a class or function becomes a `Global` (two strings), a
call becomes a `Call` (what would be called, with what), and nothing is imported, looked up or
called. Numbers, text, lists, dicts and tuples become themselves.

Memory and time stay bounded whatever the stream says: the number of opcodes is limited, and
`machine` limits what each of them may take.
"""

from __future__ import annotations

import struct
from io import BufferedReader, BytesIO

from rtdetr_nb.checkpoint.reading.pickle.machine import Machine
from rtdetr_nb.checkpoint.reading.pickle.opcodes import HANDLERS
from rtdetr_nb.checkpoint.reading.pickle.records import PersistentId
from rtdetr_nb.checkpoint.reading.pickle.stack_opcodes import EndOfPickle
from rtdetr_nb.checkpoint.reading.pickle.weights_only import refusal
from rtdetr_nb.errors import CheckpointError

MAXIMUM_OPCODES = 2_000_000
"""A checkpoint with model, EMA and AdamW state (3,600 tensors) has about 120,000."""


class PickleReader:
    """Reads the pickles of one stream, one after the other.

    Args:
        stream: A stream over the pickle and whatever follows it.
        size: Bytes of the stream.
    """

    def __init__(self, stream: BufferedReader | BytesIO, size: int) -> None:
        self._machine = Machine(stream, size)
        self._opcodes_left = MAXIMUM_OPCODES

    @property
    def position(self) -> int:
        """Bytes of the stream that were read."""
        return self._machine.position

    @property
    def persistent_ids(self) -> list[PersistentId]:
        """Every reference to something outside of the stream, in the order of the stream."""
        return self._machine.persistent_ids

    @property
    def refusal(self) -> str:
        """What `torch.load(weights_only=True)` refuses of what was read; "" if nothing."""
        return refusal(self._machine.global_names, self._machine.protocol)

    def load(self) -> object:
        """Read the next pickle of the stream and describe its result.

        Returns:
            None, bool, int, float, str, bytes, list, dict or tuple as they are; `Call`, `Global`,
            `PersistentId` and `Span` for the rest. The description may contain itself, and dict
            keys that are not plain scalars are `IdentityKey`s.

        Raises:
            CheckpointError: The stream is damaged, is not a pickle, or is larger than any
                checkpoint.
        """
        machine, handlers = self._machine, HANDLERS
        machine.clear()
        read, limit = machine.read, self._opcodes_left
        try:
            for self._opcodes_left in range(limit, 0, -1):
                handlers[read(1)](machine)
        except EndOfPickle:
            if not machine.stack:
                machine.refuse("it ends without a result")
            return machine.stack.pop()
        except KeyError:
            if machine.position >= machine.size:
                machine.refuse_truncated()
            machine.refuse("it uses an instruction or a reference that does not exist")
        except IndexError:
            machine.refuse("an instruction finds nothing to work on")
        except struct.error:
            machine.refuse_truncated()
        except ValueError:
            machine.refuse("it has text where a number should be")
        raise CheckpointError(
            f"Its description has more than {MAXIMUM_OPCODES:,} instructions, where a checkpoint "
            "of 3,600 tensors has about 120,000. It was not read further, to spare memory and time."
        )
