"""The console's screens; what each decides to show is a plain function in the ``…_view`` module beside it."""
