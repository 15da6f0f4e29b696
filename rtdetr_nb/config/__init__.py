"""Official YAML files to one checked, typed `Config`."""
