"""The tree of layers: what is ticked in it goes into the tuning file."""
