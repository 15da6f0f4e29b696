"""Questions to weights and pictures together."""
