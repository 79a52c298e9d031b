"""``python -m pacs_recover`` is the ``pacs-recover`` command."""

from pacs_recover.cli import main

if __name__ == "__main__":
    main()
