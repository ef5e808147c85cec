"""A plugin that registers at every extension point."""
