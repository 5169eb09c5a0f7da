"""Stand-ins for what a unit test must not touch: the managers of a running system, its programs, and its power."""
