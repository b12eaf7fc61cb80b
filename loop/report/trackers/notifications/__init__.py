"""The user is told of what they would want to be woken for, by the program or address of their rules.

start      after a Step a detached process looks, and nobody waits for it
moments    what there is to tell of a loop as it stands: a new best, a decision, stuck, done
telling    that process: one at a time, each moment told once, under the rules that the user has accepted
sending    one message to the program or the address, tried again where that may help
"""
