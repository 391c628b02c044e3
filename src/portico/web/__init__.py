"""HTTP: portal, console, REST, and the doors for gateways and agents."""
