"""Loads the plugin that `pytest --benchmark-only` is extended by; the tests' own is in tests/."""

pytest_plugins = ["harness.plugin"]
