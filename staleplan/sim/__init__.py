"""Drills under virtual time: the shipped cores, seeded, without a network."""
