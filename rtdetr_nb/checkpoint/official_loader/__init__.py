"""What the official code does with a file, by each of its doors."""
