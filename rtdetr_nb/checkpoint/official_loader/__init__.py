"""What the official code does with a file."""
