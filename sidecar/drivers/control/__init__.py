"""What the watchdog shows, and where it listens: status file, event file and control socket under /run/sidecar.

All three are files of the sidecar's own file system, for root alone. Workloads share the namespace's loopback and its
abstract sockets, so nothing that commands or reveals may listen there. Import from the submodules: the clients among
them load in milliseconds, and only `logs` brings loguru.
"""
