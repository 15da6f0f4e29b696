"""Whose names are these, and what are they called officially?"""
