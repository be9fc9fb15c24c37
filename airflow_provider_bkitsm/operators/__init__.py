"""Operators: open a ticket, take a collector through its approval."""
