"""What nodeprep costs, measured against something that is measured beside it."""
