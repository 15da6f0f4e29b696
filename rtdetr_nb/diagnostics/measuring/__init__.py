"""What several questions need: weights of any kind, pictures as tensors, statistics of norms."""
