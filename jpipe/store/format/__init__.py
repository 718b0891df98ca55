"""The bytes of a result: blobs, packs, records."""
