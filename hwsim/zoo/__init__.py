"""Small seeded networks and built-in data: what `zoo:NAME` names. Nothing is downloaded."""
