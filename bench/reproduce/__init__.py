"""Published tables, set beside what is obtained here: `bench reproduce`."""
