"""One file for each published attack on VPNs and their kill switches, named for the finding."""
