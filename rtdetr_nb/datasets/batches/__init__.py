"""Pictures and boxes to batches: augmentation, collation, order, workers."""
