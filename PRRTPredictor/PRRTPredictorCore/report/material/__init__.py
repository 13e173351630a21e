"""What the chapters draw from, gathered from the run and its images; no drawing, no sentences."""
