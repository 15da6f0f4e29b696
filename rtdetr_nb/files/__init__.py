"""Safe ways to write, find and name files."""
