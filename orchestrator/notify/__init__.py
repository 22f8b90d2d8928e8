"""Calling people: what is due, what it says, and how it reaches them."""
