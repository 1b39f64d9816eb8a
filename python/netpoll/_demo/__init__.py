"""What `python -m netpoll` runs to show the library at work; no part of its API."""
