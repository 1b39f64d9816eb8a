"""What can only block: calls in threads of a pool, names, children."""
