"""The command line: a thin layer over `hwsim.api`. Importing it loads none of the heavy libraries."""
