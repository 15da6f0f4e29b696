"""How things are written for terminal and notebook. Imports nothing else of the package."""
