"""What 03_eval.py computes with: copied into the user's project as it is, and run there, in the user's interpreter.

Python 3.9, torch, numpy and torchmetrics; imports within this folder are relative, and nothing of ours imports it.

formulas/   what an output and a target have to look like for a task, and every number that is computed from them
canvas      pictures of numpy alone
pictures    one sample as files that one can look at, drawn on it
"""
