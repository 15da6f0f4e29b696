"""The whole job without a click, and its report."""
