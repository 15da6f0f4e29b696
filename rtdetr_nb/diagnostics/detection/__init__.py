"""What the features are worth: a small detector on a frozen backbone."""
