"""Warehouse: an inventory backend that never oversells and never loses an update."""

__version__ = "0.1.0"
