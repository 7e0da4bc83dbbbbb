"""The benchmark: asyncrestore beside the speed of the database itself; see `bench/README.md`."""
