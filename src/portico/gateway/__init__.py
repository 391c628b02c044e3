"""The gateway carries bytes between clients and desktops; it holds no database."""
