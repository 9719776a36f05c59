"""The drivers: the only home of pyroute2, scapy, docker, ctypes, subprocess and sockets. None imports another."""
