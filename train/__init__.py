"""Training harness: one loop, pluggable objectives, adapters and backends, checked before the first step."""
