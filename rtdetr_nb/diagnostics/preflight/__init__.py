"""All that can be known of a training as it is configured, before its first step."""
