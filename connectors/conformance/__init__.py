"""What every connector must do, as checks over its emulator: run by the tests and by hand."""
