"""The words of the user to calls, and what came of them to print. No job imports it.

Others use `main.main`. May import every other room.
"""
