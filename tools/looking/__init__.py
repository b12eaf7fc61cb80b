"""What an agent looks at beside the briefs, at any time: the user's rules, and what a snippet of its own finds."""
