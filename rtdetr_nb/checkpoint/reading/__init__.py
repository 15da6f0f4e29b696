"""Lists what is in a file and reads its tensors. Knows no model, and runs nothing in the file."""
