"""Pictures and boxes to batches."""
