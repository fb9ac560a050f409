"""``python -m runbooks VERB`` is ``goldentooth-net VERB``."""

from runbooks.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
