"""Everything on disk: the catalog, import, vectors, the FAISS index, and search over it."""
