"""What runs detect, drawn: step by step, run beside run, and on pictures of your choice."""
