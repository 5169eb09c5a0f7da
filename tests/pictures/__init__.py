"""Pictures of a terminal for the documentation: what machines of the lab said, as text and drawn.

sudo python3 -m tests.pictures.record    # boots machines, one at a time; writes docs/pictures/*.txt
python3 -m tests.pictures                # draws docs/pictures/*.svg after them
"""
