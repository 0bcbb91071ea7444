//! pgveil's own login: reads the catalog.
