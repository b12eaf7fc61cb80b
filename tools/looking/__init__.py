"""What an agent looks at, at any time: what comes next and why, the user's rules, what a snippet of its own finds."""
