"""What a run has changed in the weights."""
