"""How data sets lie in folders: one file a layout, each finds its own and passes over the rest."""
