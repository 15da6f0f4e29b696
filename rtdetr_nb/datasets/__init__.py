"""COCO-format data, the official augmentations, and the generator of the demo pictures."""
