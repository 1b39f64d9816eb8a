"""The contestants, one a file. A function is a workload: it sets up and returns its round."""
