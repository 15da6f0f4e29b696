"""`python -m rtdetr_nb`, which is also what torchrun starts."""

from rtdetr_nb.cli.main import main

raise SystemExit(main())
