"""What people read: report puts html, diffs and charts/ together."""
