"""Stateful emulators of vendors' APIs, for the demo, the tests and whoever writes a connector."""
