"""The workloads, one a file, each made in its full size or in a small one."""
