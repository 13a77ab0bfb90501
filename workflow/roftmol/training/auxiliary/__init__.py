"""Second tasks for multi-task fine-tuning, one file each."""
