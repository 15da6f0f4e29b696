"""The losses of a training step: detections are matched to boxes, and compared with them."""
