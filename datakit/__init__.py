"""Raw data to instruction dataset, and from there to a regression report."""
