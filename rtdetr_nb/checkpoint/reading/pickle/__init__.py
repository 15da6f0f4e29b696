"""Reads pickles as data: opcodes in, plain descriptions out."""
