"""`python -m rtdetr_nb.datasets.shapes FOLDER` writes the sample data set."""

from rtdetr_nb.datasets.shapes.generate import main

main()
