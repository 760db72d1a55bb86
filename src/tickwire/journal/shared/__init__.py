"""A journal that several processes share. This package is independent of the kind of server that stores the journal."""
