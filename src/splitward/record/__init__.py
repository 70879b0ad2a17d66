"""Records: what an audit found, as a versioned model on disk; statistics, verdicts and checks. Free of torch."""
