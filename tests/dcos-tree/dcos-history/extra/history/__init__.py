"""Remembers what the cluster looked like."""
