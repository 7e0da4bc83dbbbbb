"""The suites by name, and what they share."""
