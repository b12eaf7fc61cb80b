"""What a run left, read in a process of its own: no file there can hang, crash or fill the process that asks.

reading   asks for one file and gets plain values, or the reason why there are none
helper    the process that answers, sealed off; one for the life of a server, and a fork of it for each file
forms     JSON, YAML and arrays, as plain values within bounds
metrics   metrics.csv by epochs
samples   an evaluation's samples.jsonl
seal      takes the process every way to the rest of the machine
"""
