"""The command line: main → options → handlers → steps, run, track or one of demo, setup, doctor and probe.

terminal shows a job that runs; program is this program's name as it can be pasted.
"""
