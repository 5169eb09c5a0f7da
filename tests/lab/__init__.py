"""The lab: real systemd machines, booted by systemd-nspawn(1) over one golden tree, on bridges nobody else sees."""
