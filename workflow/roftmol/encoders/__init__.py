"""The networks, one file each, behind one interface (`base.py`), and their weights (`checkpoints.py`)."""
