"""What surrounds the program: manual pages, completions, bake routes, and what makes some of them from its records."""
