"""What the service does per second and what it adds to a call, beside something simpler in the same run."""
