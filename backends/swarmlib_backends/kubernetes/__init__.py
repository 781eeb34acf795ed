"""`kubernetes`: a cluster's Pods as containers. Its libraries are imported when a chain is opened."""
