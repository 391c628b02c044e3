"""Portico: the right desktop for everyone, from any device, out of an OpenStack cloud."""

__version__ = "0.1.0"
