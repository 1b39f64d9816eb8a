"""Seeing inside: the dump, the debug mode and the self-check."""
