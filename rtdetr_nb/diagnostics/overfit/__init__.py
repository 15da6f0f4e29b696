"""Can it learn at all: a few pictures, again and again, until a run knows them by heart."""
