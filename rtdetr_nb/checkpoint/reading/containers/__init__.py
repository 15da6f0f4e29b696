"""One file a container format, each of which lists the tensors in it."""
