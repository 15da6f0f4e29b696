"""A file of weights to a proved tuning file; torch only inside functions."""
