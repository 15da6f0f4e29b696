"""From a checkpoint file to a tuning file: names, shapes and tensors, never nn.Module classes."""
