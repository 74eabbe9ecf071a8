"""The commands, one file each: it parses, calls one function of the package, and prints."""
