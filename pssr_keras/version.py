"""The version of this package, which a record and the key of a cache name."""

__version__ = "0.2.0"
