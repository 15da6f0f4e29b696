"""Which of several backbones is best, as far as some pictures can tell."""
