"""A project and its versions as every Step sees them.

project → turn → version → attempts and receipts → state. integrity, evaluation_protocol, scripts and dataset compare
what lies there with what the loop left; failures and disk say what went wrong, and whether there is room.
"""
