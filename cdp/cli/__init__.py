"""The command line, a file per family of commands; part of the composition root."""
