"""Display protocols: a target and a plan become a launch description."""
