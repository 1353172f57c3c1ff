"""One module for each verb of the command line; `picotron.cli.VERBS` lists them.

Invariant: a command is a frozen dataclass whose fields are its flags and whose `run()` returns the
exit code. Its module imports nothing of the compiler before `run` is called, so that help and
mistakes come at once.
"""
