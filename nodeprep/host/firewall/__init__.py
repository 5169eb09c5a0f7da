"""The firewalls that openings are made in."""
