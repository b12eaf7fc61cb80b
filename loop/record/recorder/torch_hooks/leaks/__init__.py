"""Looks for leaks between training and validation, once, at the end of a rehearsal. What they mean is said elsewhere.

samples    what is kept of the samples that came by: narrow rows as they are, wide ones as a sketch
near       how many validation samples are nearly a training sample, and how many training samples are nearly another
groups     groups whose samples are on both sides
answers    a column, or a word, that says the target
search     all of it, within some seconds
"""
