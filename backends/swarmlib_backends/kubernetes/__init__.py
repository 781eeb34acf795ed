"""`kubernetes`: a namespace of a cluster as an engine, whose containers are Pods."""
