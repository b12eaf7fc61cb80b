"""Trains a version and judges what the run left.

training starts the run and collects it: progress while it runs, then artifacts and result. curves reads what
metrics_csv finds; watching says what ends a run early, resume keeps what an interrupted one left, retry_report tells of
the failed ones.
"""
