"""Trains a version and judges what the run left.

training → next_jobs (warm starts) → progress → metrics_csv → curves → artifacts → resume and retry_report.
"""
