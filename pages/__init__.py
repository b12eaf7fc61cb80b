"""What people read: report puts html, diffs and charts/ together, in the words of language."""
