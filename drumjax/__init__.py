"""Neural drum synthesis in JAX. Importing the package costs nothing; import the room you need."""

__version__ = "0.1.0"
