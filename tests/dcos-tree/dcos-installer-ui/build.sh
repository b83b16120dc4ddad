#!/bin/bash
cd /pkg/src/dcos-installer-ui
npm run dist
