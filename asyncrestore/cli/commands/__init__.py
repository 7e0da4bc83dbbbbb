"""The commands, one module each: its options, its help, and its report as text. The work is the library's."""
