"""What every stage needs and no field is about: files, seeds, processes, digests, errors."""
