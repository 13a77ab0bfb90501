"""What models read of molecules: graphs as arrays on disk and in batches, and fingerprints."""
