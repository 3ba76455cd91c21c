"""What is told of the server: numbers for `/metrics`. Knows nothing of responses."""
