"""What a run tells before its first step: about its data, its sizes and its disk."""
