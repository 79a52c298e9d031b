"""How the program is packed: a wheel, one file that runs by itself, a man page, a Debian package."""
