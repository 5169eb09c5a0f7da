"""Seeded simulations of whole segments."""
