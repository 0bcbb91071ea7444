"""What the end-to-end tests are made of: a PostgreSQL of their own, pgveil in front of it, and clients."""
