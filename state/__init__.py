"""What is remembered between runs: a cache and a journal, never the truth; AWS is."""
