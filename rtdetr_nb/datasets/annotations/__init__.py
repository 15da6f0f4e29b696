"""What annotation files say, packed into arrays, and what is told about it."""
