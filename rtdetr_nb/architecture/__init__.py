"""The numbers and names of the official model, without torch."""
