"""Administrator verbs, over REST only."""
