#!/bin/sh
# Prints the private address of an Azure machine's first interface, as its metadata service has it.
set -eu
metadata=http://169.254.169.254/metadata/instance
address=network/interface/0/ipv4/ipAddress/0/privateIpAddress
curl -fsS -m 5 --noproxy '*' -H 'Metadata: true' "$metadata/$address?api-version=2021-02-01&format=text"
