"""What 03_eval.py computes with: copied into the user's project as it is, and run there, in the user's interpreter.

Python 3.9, torch, numpy and torchmetrics; imports within this folder are relative, and nothing of ours imports it.

command         the command line; puts the rest together
scoring/        the scorer's process: it holds targets and scores, and never runs the version's code
version/        the version's processes: one with its data, one with its model
formulas/       what an output and a target have to look like for a task, and every number that is computed from them
trees           a batch that can be looked into without the script's classes
wire/           messages without pickle, large arrays in shared memory
confinement     closes a process in, by landlock (of ../../jobs/runner, a link) and by what it may call
tasks           which family a task is of
pictures        one sample as files that one can look at, drawn on `canvas` by numpy alone
external_model  runs in the process of an external model
project_copy    the stage that a version runs in
errors          what is told to people, and whether the script is at fault
"""
