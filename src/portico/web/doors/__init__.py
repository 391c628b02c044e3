"""The doors for machines: agents and gateways, as wire/ describes them."""
