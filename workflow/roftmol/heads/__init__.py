"""Heads in closed form: from what is known of molecules (vectors, fingerprints, descriptors) to predictions."""
