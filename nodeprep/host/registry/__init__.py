"""The doors to registries."""
