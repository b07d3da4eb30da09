"""Official lists, turned into orders."""
