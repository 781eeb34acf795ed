"""What a running chain knows of itself: counts and times of calls, who calls, which engines answer, what is denied."""
