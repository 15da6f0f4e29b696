"""Safe ways to write, find and name files; paths as people paste them."""
