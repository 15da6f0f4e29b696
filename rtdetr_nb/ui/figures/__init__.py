"""Pictures by matplotlib, usable without a notebook."""
