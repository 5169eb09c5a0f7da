"""The registry: claims of a fleet of many segments, kept in etcd. Pure; the door to it is `host/registry/etcd.py`."""
