"""A project and its versions as every Step sees them.

project → turn → version → attempts and receipts → state. integrity, evaluation_protocol, scripts and dataset compare
what is on disk with what the loop left; failures says why a run failed, notices what is worth saying though none did,
disk whether there is room.
"""
