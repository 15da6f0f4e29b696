"""Questions to weights and pictures together: what a backbone expects, and what it knows."""
