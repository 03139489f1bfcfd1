"""Moving data: runs, ranges, batches and the writers of each database."""
