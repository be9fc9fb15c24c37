"""Sensors: wait for the decision on a ticket."""
