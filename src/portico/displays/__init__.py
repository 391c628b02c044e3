"""Display protocols: one pure class each, from a target and a plan to a launch description."""
