"""What happens in the process of a run: model, data and optimizer to records."""
