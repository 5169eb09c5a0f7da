"""The network managers that own links and profiles."""
