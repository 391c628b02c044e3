"""The client on people's devices."""
