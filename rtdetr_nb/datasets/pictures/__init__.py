"""Picture files: found by name, looked at by their headers, decoded as their labels expect."""
