"""Measures pmemkv-server beside redis-server and valkey-server; started by scripts/bench."""
